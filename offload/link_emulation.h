// Makes moving bytes take as long as a link of a given speed would, so that page-in profiles on the
// CPU backend mean something. Without a speed it does nothing.
#pragma once

#include <chrono>
#include <cstdint>

namespace mneme::offload {

class LinkEmulation {
 public:
  explicit LinkEmulation(double bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  bool is_emulated() const { return bytes_per_second_ > 0; }
  // Blocks until `bytes` would have crossed the link, had they started at `start`.
  void pace(std::chrono::steady_clock::time_point start, std::uint64_t bytes) const;

 private:
  double bytes_per_second_;
};

}  // namespace mneme::offload
