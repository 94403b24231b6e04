#include "offload/link_emulation.h"

#include <thread>

namespace mneme::offload {

void LinkEmulation::pace(std::chrono::steady_clock::time_point start, std::uint64_t bytes) const {
  if (bytes_per_second_ <= 0 || bytes == 0) return;
  const std::chrono::duration<double> needed(static_cast<double>(bytes) / bytes_per_second_);
  std::this_thread::sleep_until(
      start + std::chrono::duration_cast<std::chrono::steady_clock::duration>(needed));
}

}  // namespace mneme::offload
