// Rotary position embedding.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kGroups = 4;  // of a thread: loads in flight
constexpr int kTableThreads = 64;
constexpr std::int64_t kTablePositions = 16;  // of a thread

struct Angles {
  std::int64_t sequence, pairs;
  std::int64_t first_position;
  double theta;
  bool inverse;
};

// table[t, i] = (cosine, sine) of position t's turn of pair i, from angles in float64. Block
// (pairs, positions).
__global__ void __launch_bounds__(kTableThreads) turn_table_kernel(Angles angles, float2* table) {
  const std::int64_t pair = std::int64_t{blockIdx.x} * kTableThreads + threadIdx.x;
  if (pair >= angles.pairs) return;
  const double frequency =
      pow(angles.theta, -static_cast<double>(pair) / static_cast<double>(angles.pairs));
  const std::int64_t begin = std::int64_t{blockIdx.y} * kTablePositions;
  const std::int64_t end = min(begin + kTablePositions, angles.sequence);
  for (std::int64_t t = begin; t < end; ++t) {
    double sine, cosine;
    sincos(static_cast<double>(angles.first_position + t) * frequency, &sine, &cosine);
    if (angles.inverse) sine = -sine;
    table[t * angles.pairs + pair] =
        make_float2(static_cast<float>(cosine), static_cast<float>(sine));
  }
}

struct RotaryRows {
  std::int64_t rows, stride, sequence;
  int head_width, row_groups, rows_per_block;
  const float2* table;  // [sequence, head_width / 2]
};

template <typename T>
__device__ __forceinline__ void load_pairs(const T* p, float (&x)[2]) {
  x[0] = load(p), x[1] = load(p + 1);
}
template <typename T, int N>
__device__ __forceinline__ void load_pairs(const T* p, float (&x)[N]) {
  load_vector(p, x);
}
template <typename T>
__device__ __forceinline__ void store_pairs(T* p, const float (&x)[2]) {
  store(p, x[0]), store(p + 1, x[1]);
}
template <typename T, int N>
__device__ __forceinline__ void store_pairs(T* p, const float (&x)[N]) {
  store_vector(p, x);
}

// A block turns rows_per_block rows: their groups of N elements in a line, kGroups a thread.
template <int N, typename T>
__global__ void __launch_bounds__(kThreads) rotary_kernel(T* x, RotaryRows rows) {
  const std::int64_t first_row = std::int64_t{blockIdx.x} * rows.rows_per_block;
  const auto first_position = static_cast<unsigned>(first_row % rows.sequence);
  const auto row_groups = static_cast<unsigned>(rows.row_groups);
  const auto head_width = static_cast<unsigned>(rows.head_width);
  const unsigned groups =
      static_cast<unsigned>(min(rows.rows - first_row, std::int64_t{rows.rows_per_block})) *
      row_groups;
  for (unsigned base = threadIdx.x; base < groups; base += kThreads * kGroups) {
    float values[kGroups][N];
    float2 turns[kGroups][N / 2];
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const unsigned group = min(base + g * kThreads, groups - 1);
      const unsigned row = group / row_groups, column = group % row_groups * N;
      const unsigned position = (first_position + row) % static_cast<unsigned>(rows.sequence);
      load_pairs(x + (first_row + row) * rows.stride + column, values[g]);
      const float2* turn =
          rows.table + (std::int64_t{position} * head_width + column % head_width) / 2;
#pragma unroll
      for (int i = 0; i < N / 2; ++i) turns[g][i] = turn[i];
    }
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const unsigned group = base + g * kThreads;
      if (group >= groups) break;
#pragma unroll
      for (int i = 0; i < N / 2; ++i) {
        const float even = values[g][2 * i], odd = values[g][2 * i + 1];
        const float2 turn = turns[g][i];
        values[g][2 * i] = even * turn.x - odd * turn.y;
        values[g][2 * i + 1] = even * turn.y + odd * turn.x;
      }
      store_pairs(x + (first_row + group / row_groups) * rows.stride + group % row_groups * N,
                  values[g]);
    }
  }
}

template <int N, typename T>
void launch_rotary(Operation& operation, const RotaryArgs& args, const float2* table) {
  const std::int64_t row_groups = args.heads * args.head_width / N;
  if (row_groups == 0) return;
  RotaryRows rows{args.batch * args.sequence, args.stride, args.sequence, 0, 0, 0, table};
  rows.head_width = static_cast<int>(args.head_width);
  rows.row_groups = static_cast<int>(row_groups);
  rows.rows_per_block =
      static_cast<int>(std::max<std::int64_t>(1, kThreads * kGroups / row_groups));
  operation.launch({blocks_for(rows.rows, rows.rows_per_block), kThreads}, rotary_kernel<N, T>,
                   static_cast<T*>(args.x), rows);
}

}  // namespace

void CudaBackend::rotary(Stream& stream, const RotaryArgs& args) {
  CHECK(args.head_width > 0 && args.head_width % 2 == 0, "head width {} is odd", args.head_width);
  CHECK(args.batch >= 0 && args.sequence >= 0 && args.heads >= 0);
  CHECK(args.stride >= args.heads * args.head_width, "row stride {} is too small", args.stride);
  CHECK(args.sequence <= 0x7fffffff && args.heads * args.head_width <= 0x3fffffff);
  if (args.batch * args.sequence == 0) return;
  Operation operation(stream, "rotary");
  const Angles angles{args.sequence, args.head_width / 2, args.first_position, args.theta,
                      args.inverse};
  auto* table = operation.take<float2>(args.sequence * angles.pairs);
  operation.launch({.blocks = blocks_for(angles.pairs, kTableThreads),
                    .threads = kTableThreads,
                    .blocks_y = blocks_for(args.sequence, kTablePositions)},
                   turn_table_kernel, angles, table);
  with_float_type(args.type, [&](auto type) {
    using T = decltype(type);
    constexpr int kN = kGroup<T>;
    if (args.head_width % kN == 0 &&
        vector_aligned<kN>(static_cast<const T*>(args.x), args.stride)) {
      launch_rotary<kN, T>(operation, args, table);
    } else {
      launch_rotary<2, T>(operation, args, table);
    }
  });
}

}  // namespace mneme::kernels::cuda
