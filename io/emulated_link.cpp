#include "io/emulated_link.h"

#include <algorithm>

namespace mneme::io {

EmulatedLink::Clock::time_point EmulatedLink::transfer(Clock::time_point now, std::uint64_t bytes) {
  if (!is_emulated()) return now;
  const std::chrono::duration<double> needed(static_cast<double>(bytes) / bytes_per_second_);
  const std::lock_guard lock(mutex_);
  free_ = std::max(now, free_) + std::chrono::duration_cast<Clock::duration>(needed);
  return free_;
}

}  // namespace mneme::io
