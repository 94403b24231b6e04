// What a link can carry while a step computes: hints beyond that would come late, and hold up rows
// that are missed. It sees numbers alone.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace mneme::engine {

class LinkBudget {
 public:
  static constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

  // 0: not known yet.
  explicit LinkBudget(double bytes_per_second = 0) : declared_(bytes_per_second) {}

  // A step is over: how long it computed, waits for rows left out; and what the link has carried
  // for others than hints. Older steps lose half of their weight in four.
  void note_step(double computed_seconds, std::uint64_t other_bytes = 0);
  // The link has carried so much while it was busy. Ignored where the speed was declared.
  void note_busy(std::uint64_t bytes, double seconds);

  // Bytes that hints may move in such a share of a step's computation; kNoLimit while the speed or
  // the time is not known.
  std::uint64_t bytes(double share = 1) const;

 private:
  double declared_;
  double seconds_ = 0, other_bytes_ = 0, weight_ = 0;  // of steps
  double busy_bytes_ = 0, busy_seconds_ = 0;           // older ones counting less
};

// Bytes per second of copies from pinned host memory to the device, measured.
double measure_host_link(kernels::Backend& backend);

}  // namespace mneme::engine
