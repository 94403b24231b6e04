// Guard zones (kernels/guard_zones.h) around what an operation takes from its stream's scratch
// memory. The stream itself fills them before the operation's kernels and looks at them behind
// these, so that the debug mode waits for nothing and work keeps its order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mneme::kernels::cuda {

class Operation;

struct ScratchPiece {
  std::byte* data;
  std::int64_t bytes;
};

inline constexpr std::size_t kScratchZoneBytes = 256;

// What `bytes` bytes take together with their zones; they start kScratchZoneBytes from its begin.
constexpr std::size_t scratch_space(std::size_t bytes) {
  return (bytes + kScratchZoneBytes - 1) / kScratchZoneBytes * kScratchZoneBytes +
         2 * kScratchZoneBytes;
}

void fill_scratch_zones(Operation& operation, const ScratchPiece& piece);
// Damage becomes a report of the stream (device_report.h): its synchronize() aborts, and names the
// operation.
void check_scratch_zones(Operation& operation, const std::vector<ScratchPiece>& pieces);

}  // namespace mneme::kernels::cuda
