#include "engine/prefetch/link_budget.h"

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "io/elapsed.h"

namespace mneme::engine {
namespace {

constexpr double kKept = 0.841;  // 2^(-1/4), step by step

}  // namespace

void LinkBudget::note_step(double computed_seconds, std::uint64_t other_bytes) {
  seconds_ = kKept * seconds_ + computed_seconds;
  other_bytes_ = kKept * other_bytes_ + static_cast<double>(other_bytes);
  weight_ = kKept * weight_ + 1;
}

void LinkBudget::note_busy(std::uint64_t bytes, double seconds) {
  busy_bytes_ = kKept * busy_bytes_ + static_cast<double>(bytes);
  busy_seconds_ = kKept * busy_seconds_ + seconds;
}

std::uint64_t LinkBudget::bytes(double share) const {
  if (weight_ == 0) return kNoLimit;
  const double measured = busy_seconds_ > 0 ? busy_bytes_ / busy_seconds_ : 0;
  const double bytes_per_second = declared_ > 0 ? declared_ : measured;
  if (bytes_per_second <= 0) return kNoLimit;
  const double carried = share * (bytes_per_second * seconds_ - other_bytes_) / weight_;
  return static_cast<std::uint64_t>(std::clamp(carried, 0.0, 1e18));
}

double measure_host_link(kernels::Backend& backend) {
  constexpr std::size_t kBytes = std::size_t{4} << 20;
  constexpr int kTries = 3;
  const kernels::Buffer from = backend.allocate(kBytes, kernels::MemoryKind::kPinnedHost);
  const kernels::Buffer to = backend.allocate(kBytes, kernels::MemoryKind::kDevice);
  const auto stream = backend.create_stream();
  double fastest = 0;
  for (int i = 0; i < kTries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    backend.copy(*stream, to.as<void>(), from.as<void>(), kBytes);
    stream->synchronize();
    fastest = std::max(fastest, static_cast<double>(kBytes) / (1e-3 * io::elapsed_ms(start)));
  }
  return fastest;
}

}  // namespace mneme::engine
