// Tiles of bf16 rows in shared memory and the tensor-core products of attention over them. Every
// warp of a block owns 16 * kRowTiles rows of one side (queries or keys) and meets the rows of the
// other side tile by tile; the products of its own rows stay in its registers.
#pragma once

#include <cstdint>

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/tensor_core.h"

namespace mneme::kernels::cuda {

inline constexpr int kTileWarps = 4;
inline constexpr int kTileThreads = kTileWarps * kWarp;

// From row to row of a tile, in elements. Eight neighbouring rows start in eight different groups
// of four banks, so that matrix loads meet no conflict.
template <int kWidth>
inline constexpr int kTileStride = kWidth + 8;

// Starts the copy of kRows rows that lie `stride` elements apart. Rows from `present` on become 0
// and are not read.
template <int kWidth, int kRows>
__device__ __forceinline__ void copy_tile_async(Bf16* tile, const Bf16* rows, int stride,
                                                int present) {
  constexpr int kPieces = kWidth / kColumns;
  static_assert(kRows * kPieces % kTileThreads == 0);
#pragma unroll
  for (int i = 0; i < kRows * kPieces; i += kTileThreads) {
    const int piece = i + static_cast<int>(threadIdx.x);
    const int row = piece / kPieces, column = piece % kPieces * kColumns;
    copy_16_async(tile + row * kTileStride<kWidth> + column, rows + (row * stride + column),
                  row < present);
  }
}

// 16 rows and 16 columns as the left operand.
template <int kWidth>
__device__ __forceinline__ void load_left(std::uint32_t (&left)[4], const Bf16* tile, int row,
                                          int column) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices(left, tile + (row + lane % 16) * kTileStride<kWidth> + column + lane / 16 * 8);
}
// The same, transposed, as two right operands: [0] and [1] are the first eight rows.
template <int kWidth>
__device__ __forceinline__ void load_right_transposed(std::uint32_t (&right)[4], const Bf16* tile,
                                                      int row, int column) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices(right, tile + (row + lane / 16 * 8 + lane % 8) * kTileStride<kWidth> + column +
                           lane / 8 % 2 * 8);
}
// The same as two right operands: [0] and [1] are the first eight columns.
template <int kWidth>
__device__ __forceinline__ void load_right(std::uint32_t (&right)[4], const Bf16* tile, int row,
                                           int column) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_transposed(right, tile + (row + lane % 16) * kTileStride<kWidth> + column + lane / 16 * 8);
}

// A warp's own rows as left operands: kept in registers, or loaded again for every product.
template <int kWidth, int kRowTiles, bool kKept>
class OwnRows {
 public:
  // tile: of the block's rows.
  __device__ __forceinline__ OwnRows(const Bf16* tile, int row) : tile_(tile), row_(row) {
    if constexpr (kKept) {
#pragma unroll
      for (int step = 0; step < kWidth / 16; ++step) load(kept_[step], step);
    }
  }
  // Columns 16 * step to 16 * step + 15.
  __device__ __forceinline__ void get(std::uint32_t (&left)[kRowTiles][4], int step) const {
    if constexpr (kKept) {
#pragma unroll
      for (int i = 0; i < kRowTiles * 4; ++i) left[i / 4][i % 4] = kept_[step][i / 4][i % 4];
    } else {
      load(left, step);
    }
  }

 private:
  __device__ __forceinline__ void load(std::uint32_t (&left)[kRowTiles][4], int step) const {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) load_left<kWidth>(left[r], tile_, row_ + 16 * r, 16 * step);
  }

  const Bf16* tile_;
  int row_;
  std::uint32_t kept_[kKept ? kWidth / 16 : 1][kRowTiles][4];
};

// Of one sixteen of a warp's sums.
template <int kCount>
__device__ __forceinline__ void clear(float (&x)[kCount][4]) {
#pragma unroll
  for (int i = 0; i < kCount * 4; ++i) x[i / 4][i % 4] = 0.0f;
}
template <int kCount>
__device__ __forceinline__ void scale_by(float factor, float (&x)[kCount][4]) {
#pragma unroll
  for (int i = 0; i < kCount * 4; ++i) x[i / 4][i % 4] *= factor;
}

// products[own row, j] = <own row, row first + j of the tile>, for kOthers * 8 rows of the tile.
template <int kWidth, int kRowTiles, bool kKept, int kOthers>
__device__ __forceinline__ void times_rows(float (&products)[kRowTiles][kOthers][4],
                                           const OwnRows<kWidth, kRowTiles, kKept>& own,
                                           const Bf16* tile, int first) {
#pragma unroll
  for (int i = 0; i < kRowTiles * kOthers * 4; ++i) {
    products[i / (kOthers * 4)][i / 4 % kOthers][i % 4] = 0.0f;
  }
#pragma unroll
  for (int step = 0; step < kWidth / 16; ++step) {
    std::uint32_t left[kRowTiles][4];
    own.get(left, step);
#pragma unroll
    for (int other = 0; other < kOthers; other += 2) {
      std::uint32_t right[4];
      load_right_transposed<kWidth>(right, tile, first + 8 * other, 16 * step);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        multiply_add(products[r][other], left[r], right[0], right[1]);
        multiply_add(products[r][other + 1], left[r], right[2], right[3]);
      }
    }
  }
}

// sums[own row] += sum over j of weights[own row, j] * (row first + j of the tile), for
// kOthers * 8 rows of the tile. Weights are rounded to bf16.
template <int kWidth, int kRowTiles, int kOthers>
__device__ __forceinline__ void add_weighted_rows(float (&sums)[kRowTiles][kWidth / 8][4],
                                                  const float (&weights)[kRowTiles][kOthers][4],
                                                  const Bf16* tile, int first) {
#pragma unroll
  for (int other = 0; other < kOthers; other += 2) {
    std::uint32_t left[kRowTiles][4];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      const float(&a)[4] = weights[r][other], (&b)[4] = weights[r][other + 1];
      left[r][0] = pack_bf16(a[0], a[1]), left[r][1] = pack_bf16(a[2], a[3]);
      left[r][2] = pack_bf16(b[0], b[1]), left[r][3] = pack_bf16(b[2], b[3]);
    }
#pragma unroll
    for (int column = 0; column < kWidth / 8; column += 2) {
      std::uint32_t right[4];
      load_right<kWidth>(right, tile, first + 8 * other, 8 * column);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        multiply_add(sums[r][column], left[r], right[0], right[1]);
        multiply_add(sums[r][column + 1], left[r], right[2], right[3]);
      }
    }
  }
}

// Scores become -infinity where the key comes after the query. kKeysOwned: own rows are keys and
// the tile's are queries, else the other way round. first_own, first_other: positions of the warp's
// first row and of the first row of the tile that the scores are of.
template <bool kKeysOwned, int kRowTiles, int kOthers>
__device__ __forceinline__ void hide_later_keys(float (&scores)[kRowTiles][kOthers][4],
                                                int first_own, int first_other) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  // How far the lane's first own row is behind its first other row.
  const int ahead = first_other - first_own + lane % 4 * 2 - lane / 4;
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int other = 0; other < kOthers; ++other) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int other_ahead = ahead + 8 * other + i % 2 - (16 * r + i / 2 * 8);
        if (kKeysOwned ? other_ahead < 0 : other_ahead > 0) {
          scores[r][other][i] = -INFINITY;
        }
      }
    }
  }
}

// Scores become -infinity where the query does not read keys as early as this one. Arguments as of
// hide_later_keys(); first_key(query) is the first that a query reads.
template <bool kKeysOwned, int kRowTiles, int kOthers, typename FirstKey>
__device__ __forceinline__ void hide_earlier_keys(float (&scores)[kRowTiles][kOthers][4],
                                                  int first_own, int first_other,
                                                  const FirstKey& first_key) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int own = first_own + lane / 4, other = first_other + lane % 4 * 2;
  // An own row is own + 8 * i for i = 2r + half, one of the others is other + 8 * (j / 2) + j % 2.
  if constexpr (kKeysOwned) {
#pragma unroll
    for (int j = 0; j < kOthers * 2; ++j) {
      const int first = first_key(other + j / 2 * 8 + j % 2);
#pragma unroll
      for (int i = 0; i < kRowTiles * 2; ++i) {
        if (own + 8 * i < first) scores[i / 2][j / 2][i % 2 * 2 + j % 2] = -INFINITY;
      }
    }
  } else {
#pragma unroll
    for (int i = 0; i < kRowTiles * 2; ++i) {
      const int first = first_key(own + 8 * i);
#pragma unroll
      for (int j = 0; j < kOthers * 2; ++j) {
        if (other + j / 2 * 8 + j % 2 < first) {
          scores[i / 2][j / 2][i % 2 * 2 + j % 2] = -INFINITY;
        }
      }
    }
  }
}

// Writes the warp's sums as bf16 rows, through shared memory for whole 16-byte pieces. tile: of the
// block, its rows from `row` on being this warp's to overwrite; target: of the warp's first row.
template <int kWidth, int kRowTiles>
__device__ __forceinline__ void store_rows(const float (&sums)[kRowTiles][kWidth / 8][4],
                                           Bf16* tile, int row, Bf16* target, int stride,
                                           int present) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  Bf16* own = tile + row * kTileStride<kWidth>;
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kRowTiles * kWidth / 4; ++i) {
    const int r = i / (kWidth / 4), column = i / 2 % (kWidth / 8), half = i % 2;
    const float(&sum)[4] = sums[r][column];
    Bf16* at = own + (16 * r + 8 * half + lane / 4) * kTileStride<kWidth> + 8 * column;
    reinterpret_cast<std::uint32_t*>(at)[lane % 4] = pack_bf16(sum[2 * half], sum[2 * half + 1]);
  }
  __syncwarp();
  constexpr int kPieces = kWidth / kColumns;
#pragma unroll
  for (int i = 0; i < 16 * kRowTiles * kPieces; i += kWarp) {
    const int from = (i + lane) / kPieces, column = (i + lane) % kPieces * kColumns;
    if (from < present) {
      *reinterpret_cast<uint4*>(target + (from * stride + column)) =
          *reinterpret_cast<const uint4*>(own + from * kTileStride<kWidth> + column);
    }
  }
}

}  // namespace mneme::kernels::cuda
