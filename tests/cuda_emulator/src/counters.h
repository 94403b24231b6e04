// The counters behind emulator/call_counts.h.
#pragma once

#include <atomic>
#include <cstdint>

namespace emulator {

enum class Counter {
  kLaunches,
  kAlgorithms,
  kProducts,
  kCopies,
  kCopiedBytes,
  kFills,
  kSynchronisations,
  kStreamWaits,
  kCounters,
};

void count(Counter counter, std::uint64_t by = 1);

}  // namespace emulator
