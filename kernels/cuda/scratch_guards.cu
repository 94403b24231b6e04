#include "kernels/cuda/scratch_guards.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "kernels/cuda/operation.h"
#include "kernels/guard_zones.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
// Checked by one launch: its arguments hold them.
constexpr int kPieces = 16;
constexpr auto kZone = static_cast<std::int64_t>(kScratchZoneBytes);

struct Pieces {
  std::array<ScratchPiece, kPieces> piece;
};

// Calls body(zone, offset, bytes) for both zones: where one lies, and its offset from the piece.
template <typename Body>
__device__ void for_each_zone(const ScratchPiece& piece, const Body& body) {
  const auto space =
      static_cast<std::int64_t>(scratch_space(static_cast<std::size_t>(piece.bytes)));
  auto* data = reinterpret_cast<unsigned char*>(piece.data);
  body(data - kZone, -kZone, kZone);
  body(data + piece.bytes, piece.bytes, space - kZone - piece.bytes);
}

__global__ void __launch_bounds__(kThreads) fill_scratch_zones_kernel(ScratchPiece piece) {
  for_each_zone(piece, [](unsigned char* zone, std::int64_t, std::int64_t bytes) {
    for (std::int64_t i = threadIdx.x; i < bytes; i += kThreads)
      zone[i] = guard_byte(static_cast<std::size_t>(i));
  });
}

// A block for each piece. operation: its name, of the host.
__global__ void __launch_bounds__(kThreads)
    check_scratch_zones_kernel(Pieces pieces, std::int64_t operation, DeviceReport* out) {
  const ScratchPiece piece = pieces.piece[blockIdx.x];
  constexpr auto kNone = std::numeric_limits<long long>::max();
  __shared__ long long first;
  if (threadIdx.x == 0) first = kNone;
  __syncthreads();
  for_each_zone(piece, [](const unsigned char* zone, std::int64_t offset, std::int64_t bytes) {
    for (std::int64_t i = threadIdx.x; i < bytes; i += kThreads) {
      if (zone[i] == guard_byte(static_cast<std::size_t>(i))) continue;
      atomicMin(&first, static_cast<long long>(offset + i));
      return;
    }
  });
  __syncthreads();
  if (threadIdx.x == 0 && first != kNone) {
    report(out, ReportCode::kScratchOverrun, operation, first, piece.bytes);
  }
}

}  // namespace

void fill_scratch_zones(Operation& operation, const ScratchPiece& piece) {
  operation.launch({1, kThreads}, fill_scratch_zones_kernel, piece);
}

void check_scratch_zones(Operation& operation, const std::vector<ScratchPiece>& pieces) {
  const auto name = static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(operation.name()));
  for (std::size_t begin = 0; begin < pieces.size(); begin += kPieces) {
    const std::size_t count = std::min<std::size_t>(kPieces, pieces.size() - begin);
    Pieces some = {};
    std::copy_n(pieces.begin() + static_cast<std::ptrdiff_t>(begin), count, some.piece.begin());
    operation.launch({static_cast<std::int64_t>(count), kThreads}, check_scratch_zones_kernel, some,
                     name, operation.report());
  }
}

}  // namespace mneme::kernels::cuda
