#include "kernels/cuda/device_report.h"

#include <fmt/format.h>

#include "io/check.h"
#include "io/error.h"
#include "kernels/guard_zones.h"

namespace mneme::kernels::cuda {

void fail_with(const DeviceReport& report) {
  const std::int64_t a = report.a, b = report.b, c = report.c;
  if (constexpr auto kFirst = static_cast<unsigned>(ReportCode::kViolation); report.code > kFirst) {
    kernels::fail_with(
        SlotViolation{static_cast<SlotViolation::Kind>(report.code - kFirst), a, b, c});
  }
  switch (static_cast<ReportCode>(report.code)) {
    case ReportCode::kTokenOutside:
      io::fail(
          "token {} at position {} is outside the vocabulary of {}; use the tokenizer that the "
          "model was configured for",
          a, b, c);
    case ReportCode::kTargetOutside:
      io::fail(
          "target {} of row {} is outside the vocabulary of {}; use the tokenizer that the model "
          "was configured for",
          a, b, c);
    case ReportCode::kScoreNotFinite:
      io::fail(
          "product keys: a score of token {}, head {} is {}; the model has diverged: lower the "
          "learning rate or clip gradients",
          a, b, c != 0 ? "not a number" : "infinite");
    case ReportCode::kRowNotCurrent:
      CHECK(false, "row {} is current for step {}, updated in step {}", a, b, c);
      break;
    case ReportCode::kRowAhead:
      CHECK(false, "row {} is current for step {}, after step {}", a, b, c);
      break;
    case ReportCode::kMomentsBehind:
      CHECK(false, "the moments of row {} are {} steps behind in step {}", a, b, c);
      break;
    case ReportCode::kScratchOverrun:
      fail_for_damage(b, static_cast<std::size_t>(c),
                      fmt::format("scratch memory of {}",
                                  reinterpret_cast<const char*>(static_cast<std::intptr_t>(a))),
                      "when the operation had run");
    case ReportCode::kViolation:
    case ReportCode::kNone:
      break;
  }
  CHECK(false, "report {} of a kernel has no meaning", report.code);
  __builtin_unreachable();
}

}  // namespace mneme::kernels::cuda
