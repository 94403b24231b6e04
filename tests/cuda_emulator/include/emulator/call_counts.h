// What a program asks of the device, counted since it started. Where times mean nothing, as here,
// counts show what a change saves.
//
// With MNEME_EMULATOR_COUNTS=FILE the counts are written to FILE, as JSON, when the program ends.
#pragma once

#include <cstdint>
#include <string>

namespace emulator {

struct CallCounts {
  std::uint64_t launches = 0;    // kernels
  std::uint64_t algorithms = 0;  // of Thrust, each several kernels on a device
  std::uint64_t products = 0;    // of cuBLAS
  std::uint64_t copies = 0;
  std::uint64_t copied_bytes = 0;
  std::uint64_t fills = 0;
  std::uint64_t synchronisations = 0;  // the host waits: for a stream, an event or the device
  std::uint64_t stream_waits = 0;      // a stream waits for an event, and the host for nothing

  // The same counts since `earlier`.
  CallCounts since(const CallCounts& earlier) const;
  // An object with a number of each name.
  std::string json() const;
};

CallCounts call_counts();

}  // namespace emulator
