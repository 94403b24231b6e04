// What a kernel has to say when its input is wrong: the first report of a stream's queued work is
// kept in device memory and becomes an error of Stream::synchronize().
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/slot_violation.h"

namespace mneme::kernels::cuda {

enum class ReportCode : unsigned {
  kNone = 0,
  kTokenOutside,    // a: token, b: position, c: vocabulary
  kTargetOutside,   // a: target, b: row, c: vocabulary
  kScoreNotFinite,  // a: token, b: head, c: 1 for not a number, 0 for infinite
  // Bugs: synchronize() aborts.
  kRowNotCurrent,   // a: row, b: step it is current for, c: step of the update
  kRowAhead,        // a: row, b: step it is current for, c: target step
  kMomentsBehind,   // a: row, b: steps that its moments are behind, c: step of the update
  kScratchOverrun,  // a: the operation's name, b: offset of the first damaged byte, c: bytes taken
  kViolation,       // and above: kViolation + SlotViolation::Kind, with its a, b, c
};

struct DeviceReport {
  unsigned code;  // a ReportCode; the first to set it fills in the rest
  unsigned padding;
  std::int64_t a, b, c;
};

#if defined(__CUDACC__) || defined(MNEME_CUDA_EMULATED)
// Keeps the report unless there is one already.
__device__ __forceinline__ void report(DeviceReport* target, ReportCode code, std::int64_t a,
                                       std::int64_t b, std::int64_t c) {
  if (atomicCAS(&target->code, 0u, static_cast<unsigned>(code)) != 0u) return;
  target->a = a;
  target->b = b;
  target->c = c;
}
// Keeps a violation, if it is one.
__device__ __forceinline__ void report(DeviceReport* target, const SlotViolation& violation) {
  if (violation.kind == SlotViolation::Kind::kNone) return;
  const auto code = static_cast<ReportCode>(static_cast<unsigned>(ReportCode::kViolation) +
                                            static_cast<unsigned>(violation.kind));
  report(target, code, violation.a, violation.b, violation.c);
}
#endif

// Throws Error, or aborts, with what a report says. REQUIRES: it says something.
[[noreturn]] void fail_with(const DeviceReport& report);

}  // namespace mneme::kernels::cuda
