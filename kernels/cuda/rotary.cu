// Rotary position embedding.
#include <algorithm>
#include <bit>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kGroups = 4;  // of a thread: loads in flight
constexpr int kTableThreads = 64;
constexpr std::int64_t kTablePositions = 16;  // of a thread

// table[t, i] = (cosine, sine) of position t's turn of pair i, from angles in float64. Block
// (positions, pairs).
__global__ void __launch_bounds__(kTableThreads) turn_table_kernel(Turns turns, float2* table) {
  const std::int64_t pair = std::int64_t{blockIdx.y} * kTableThreads + threadIdx.x;
  if (pair >= turns.pairs) return;
  const double frequency =
      pow(turns.theta, -static_cast<double>(pair) / static_cast<double>(turns.pairs));
  const std::int64_t begin = std::int64_t{blockIdx.x} * kTablePositions;
  const std::int64_t end = min(begin + kTablePositions, turns.positions);
  for (std::int64_t t = begin; t < end; ++t) {
    double sine, cosine;
    sincos(static_cast<double>(turns.first_position + t) * frequency, &sine, &cosine);
    table[t * turns.pairs + pair] =
        make_float2(static_cast<float>(cosine), static_cast<float>(sine));
  }
}

// How the groups of N elements of a block's rows, in a line, map to threads. In elements; one row
// is `row_width` of them.
struct RotaryRows {
  std::int64_t rows, stride, sequence;
  unsigned row_width, head_width, rows_per_block;
  unsigned step_rows, step_columns, step_in_head;  // kThreads groups on
  const float2* table;                             // [positions, head_width / 2]
  float sign;                                      // of sines: -1 turns back
};

struct Place {
  unsigned row, column, in_head;

  // kThreads groups on, without a division.
  __device__ __forceinline__ void advance(const RotaryRows& rows) {
    row += rows.step_rows;
    column += rows.step_columns;
    in_head += rows.step_in_head;
    if (column >= rows.row_width) {
      column -= rows.row_width;
      ++row;
    }
    if (in_head >= rows.head_width) in_head -= rows.head_width;
  }
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

// x: pairs; turns: (cosine, sine) for each.
template <int N>
__device__ __forceinline__ void turn_pairs(const float (&turns)[N], float sign, float (&x)[N]) {
#pragma unroll
  for (int i = 0; i < N; i += 2) {
    const float even = x[i], odd = x[i + 1], cosine = turns[i], sine = sign * turns[i + 1];
    x[i] = even * cosine - odd * sine;
    x[i + 1] = even * sine + odd * cosine;
  }
}

// A block turns rows_per_block rows, kGroups groups a thread at a time.
template <int N, typename T>
__global__ void __launch_bounds__(kThreads) rotary_kernel(T* x, RotaryRows rows) {
  const std::int64_t first_row = std::int64_t{blockIdx.x} * rows.rows_per_block;
  const auto own_rows =
      static_cast<unsigned>(min(rows.rows - first_row, std::int64_t{rows.rows_per_block}));
  const auto sequence = static_cast<unsigned>(rows.sequence);
  const auto first_position = static_cast<unsigned>(first_row % rows.sequence);
  const unsigned start = threadIdx.x * N;
  Place place = {start / rows.row_width, start % rows.row_width, start % rows.head_width};
  x += first_row * rows.stride;
  while (place.row < own_rows) {
    float values[kGroups][N], turns[kGroups][N];
    T* groups[kGroups];
    bool inside[kGroups];
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      inside[g] = place.row < own_rows;
      const unsigned row = inside[g] ? place.row : 0;  // a row that can be read
      unsigned position = first_position + row;
      if (position >= sequence) position %= sequence;
      groups[g] = x + row * rows.stride + place.column;
      load_pairs(groups[g], values[g]);
      load_pairs(reinterpret_cast<const float*>(rows.table) +
                     std::int64_t{position} * rows.head_width + place.in_head,
                 turns[g]);
      place.advance(rows);
    }
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      turn_pairs(turns[g], rows.sign, values[g]);
      if (inside[g]) store_pairs(groups[g], values[g]);
    }
  }
}

const float2* turn_table(Operation& operation, Turns turns) {
  TurnTable& table = operation.stream().turn_table();
  if (table.holds(turns)) return table.data();
  // A sampled text gets longer by a token at a time.
  turns.positions = static_cast<std::int64_t>(std::bit_ceil(std::uint64_t(turns.positions)));
  float2* data = table.fill(turns, operation.stream().handle());
  operation.launch({.blocks = blocks_for(turns.positions, kTablePositions),
                    .threads = kTableThreads,
                    .blocks_y = blocks_for(turns.pairs, kTableThreads)},
                   turn_table_kernel, turns, data);
  return data;
}

template <int N, typename T>
void launch_rotary(Operation& operation, const RotaryArgs& args, const float2* table) {
  const auto head_width = static_cast<unsigned>(args.head_width);
  const unsigned row_width = static_cast<unsigned>(args.heads) * head_width;
  if (row_width == 0) return;
  constexpr unsigned kStep = kThreads * N;
  const RotaryRows rows{.rows = args.batch * args.sequence,
                        .stride = args.stride,
                        .sequence = args.sequence,
                        .row_width = row_width,
                        .head_width = head_width,
                        .rows_per_block = std::max(1u, kStep * kGroups / row_width),
                        .step_rows = kStep / row_width,
                        .step_columns = kStep % row_width,
                        .step_in_head = kStep % head_width,
                        .table = table,
                        .sign = args.inverse ? -1.0f : 1.0f};
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
  const float2* table = turn_table(operation, {.positions = args.sequence,
                                               .pairs = args.head_width / 2,
                                               .first_position = args.first_position,
                                               .theta = args.theta});
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
