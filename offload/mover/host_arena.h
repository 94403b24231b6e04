// Records of the host tier in pinned memory, taken once, in pieces: a system grants several GiB
// more readily than one range of hundreds. Knows addresses only, nothing of rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/location.h"

namespace mneme::offload {

class HostArena {
 public:
  // io_uring registers at most so much as one buffer.
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 30;

  // Takes slots * stride bytes. Pieces have the greatest power of two of records that fits into
  // `piece_bytes` (one, if none does), or the least with which there are HostRecords::kMostPieces;
  // the last one is shorter. Throws Error: what is needed, what was granted, and why not more.
  // REQUIRES: stride > 0; the backend outlives the arena.
  HostArena(kernels::Backend& backend, std::uint32_t slots, std::size_t stride,
            std::size_t piece_bytes = kPieceBytes);

  const kernels::HostRecords& records() const { return records_; }
  // REQUIRES: slot < slots().
  std::byte* record(std::uint32_t slot) const { return records_.record(slot); }
  std::uint32_t slots() const { return slots_; }
  // Those that records() points to.
  const std::vector<kernels::Buffer>& pieces() const { return pieces_; }

 private:
  std::uint32_t slots_;
  std::vector<kernels::Buffer> pieces_;
  kernels::HostRecords records_;
};

}  // namespace mneme::offload
