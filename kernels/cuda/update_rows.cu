// Operation update_rows of the CUDA backend: each row's gradient is summed, scaled and applied in
// one pass over value and moments.
//
// A block has a few rows. What leads to a row (slot, last step, lookups) is read for all of them at
// once; then each row's value, moments and gradient are read together, updated and written back.
#include <cmath>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/row_gradient.h"
#include "kernels/cuda/row_rounding.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kInFlight = 2;  // lookups of a thread, beside value and moments
// Named, so that the compiler spends registers on reads under way.
constexpr int kResidentBlocks = 3;

// A parameter of the kernels.
struct Update {
  RowArena arena;
  const SlotId* slots;
  const RowId* rows;  // the chunk's distinct rows
  std::int64_t count;
  int block_rows;
  bool must_be_current;       // adamw
  const float* square_norms;  // adagrad-rowwise: of the unscaled gradients; else null
  const float* grad_scale;    // may be null
  float rate;
  std::uint32_t step;
  std::uint64_t seed;
  DeviceReport* report;
};

AdamWScalars scalars_of(const RowUpdateArgs& args) {
  return adamw_scalars({.step = args.step,
                        .learning_rate = args.learning_rate,
                        .beta1 = args.beta1,
                        .beta2 = args.beta2,
                        .epsilon = args.epsilon,
                        .weight_decay = args.weight_decay});
}

// A row of the block, in shared memory.
struct BlockRow {
  SlotId slot;
  RowId row;
  std::uint32_t begin, end;  // its lookups
  float rate;
  bool skipped;
};

// Adagrad's rate, with the row's state brought up to date.
__device__ float rate_of_row(const Update& update, const AdamWScalars& scalars, float scale,
                             std::int64_t i, SlotId slot) {
  if (update.square_norms == nullptr) return update.rate;
  const float mean =
      scale * scale * update.square_norms[i] / static_cast<float>(update.arena.layout.width);
  const float state = update.arena.row_state[slot] + mean;
  update.arena.row_state[slot] = state;
  return update.rate / (sqrtf(state) + scalars.epsilon);
}

// Fills a row's place and marks the row as updated. A row that is not current is reported and left.
__device__ void stage_row(const Update& update, const GradientLookups& lookups,
                          const AdamWScalars& scalars, float scale, std::int64_t i,
                          BlockRow& place) {
  const SlotId slot = update.slots[i];
  place.slot = slot;
  place.row = update.rows[i];
  place.begin = lookups.offsets[i];
  place.end = lookups.offsets[i + 1];
  place.skipped = false;
  std::uint32_t& last_step = update.arena.last_step[slot];
  if (update.must_be_current && last_step + 1 != update.step) {
    report(update.report, ReportCode::kRowNotCurrent, place.row, last_step, update.step);
    place.skipped = true;
    return;
  }
  place.rate = rate_of_row(update, scalars, scale, i, slot);
  last_step = update.step;
}

// One tile of a row in AdamW.
template <typename Value, typename Moment, bool kWhole>
__device__ __forceinline__ void adamw_tile(const Update& update, const GradientLookups& lookups,
                                           const AdamWScalars& scalars, float scale,
                                           const BlockRow& row, std::int64_t tile,
                                           LookupWindow& window) {
  const std::int64_t width = lookups.width;
  const std::int64_t start = std::int64_t{row.slot} * width;
  auto* values = static_cast<Value*>(update.arena.values) + start;
  auto* moments1 = static_cast<Moment*>(update.arena.moment1) + start;
  auto* moments2 = static_cast<Moment*>(update.arena.moment2) + start;
  Quads value, moment1, moment2, gradient;
  stream_quads<kWhole>(values, tile, width, value);
  stream_quads<kWhole>(moments1, tile, width, moment1);
  stream_quads<kWhole>(moments2, tile, width, moment2);
  sum_gradient<kInFlight, kWhole>(lookups, window, row.begin, row.end, tile, gradient);
  const RoundingKey key{update.seed, update.step, row.row};
#pragma unroll
  for (int k = 0; k < kQuads; ++k) {
    const std::int64_t column = quad_column(tile, k);
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      adamw_element(scalars, gradient[k][c] * scale, value[k][c], moment1[k][c], moment2[k][c]);
    }
    std::uint32_t bits[kQuad] = {};
    if constexpr (sizeof(Value) == 2) rounding_quad(key, RoundingStream::kValue, column, bits);
    store_rounded_quad<kWhole>(values + column, width - column, value[k], bits, 0);
    if constexpr (sizeof(Moment) == 2) rounding_quad(key, RoundingStream::kMoments, column, bits);
    store_rounded_quad<kWhole>(moments1 + column, width - column, moment1[k], bits, 0);
    store_rounded_quad<kWhole>(moments2 + column, width - column, moment2[k], bits, 16);
  }
}

// value = value * decay - rate * g: sgd, and adagrad with its rate divided by the row's state.
template <typename Value, bool kWhole>
__device__ __forceinline__ void descend_tile(const Update& update, const GradientLookups& lookups,
                                             float decay, float scale, const BlockRow& row,
                                             std::int64_t tile, LookupWindow& window) {
  const std::int64_t width = lookups.width;
  auto* values = static_cast<Value*>(update.arena.values) + std::int64_t{row.slot} * width;
  Quads value, gradient;
  stream_quads<kWhole>(values, tile, width, value);
  sum_gradient<kInFlight, kWhole>(lookups, window, row.begin, row.end, tile, gradient);
  const RoundingKey key{update.seed, update.step, row.row};
#pragma unroll
  for (int k = 0; k < kQuads; ++k) {
    const std::int64_t column = quad_column(tile, k);
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      value[k][c] = fused_multiply_add(value[k][c], decay, -(row.rate * (gradient[k][c] * scale)));
    }
    std::uint32_t bits[kQuad] = {};
    if constexpr (sizeof(Value) == 2) rounding_quad(key, RoundingStream::kValue, column, bits);
    store_rounded_quad<kWhole>(values + column, width - column, value[k], bits, 0);
  }
}

// Moment: void for optimisers without moments.
template <typename Value, typename Moment, bool kWhole>
__global__ void __launch_bounds__(kMaxRowThreads, kWhole ? kResidentBlocks : 1)
    update_rows_kernel(Update update, GradientLookups lookups, AdamWScalars scalars) {
  __shared__ BlockRow rows[kBlockRows];
  __shared__ GradientTerm terms[kWindow];
  const std::int64_t first = std::int64_t{blockIdx.x} * update.block_rows;
  const auto count = static_cast<int>(min(std::int64_t{update.block_rows}, update.count - first));
  const float scale = update.grad_scale != nullptr ? *update.grad_scale : 1.0f;
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < count) {
    stage_row(update, lookups, scalars, scale, first + thread, rows[thread]);
  }
  __syncthreads();
  LookupWindow window{terms, rows[count - 1].end};
  for (int i = 0; i < count; ++i) {
    const BlockRow row = rows[i];
    if (row.skipped) continue;
    for (std::int64_t tile = 0; tile < lookups.width; tile += row_tile()) {
      if constexpr (std::is_void_v<Moment>) {
        descend_tile<Value, kWhole>(update, lookups, scalars.decay, scale, row, tile, window);
      } else {
        adamw_tile<Value, Moment, kWhole>(update, lookups, scalars, scale, row, tile, window);
      }
    }
  }
}

template <typename Value, typename Moment>
void launch_update(Operation& operation, const Update& update, const GradientLookups& lookups,
                   const AdamWScalars& scalars) {
  const RowArena& arena = update.arena;
  const bool whole = is_whole(lookups) && is_aligned(arena.values, 16) &&
                     is_aligned(arena.moment1, 16) && is_aligned(arena.moment2, 16);
  with_bool(whole, [&](auto is_whole) {
    operation.launch({blocks_for(update.count, update.block_rows), row_threads(lookups.width)},
                     update_rows_kernel<Value, Moment, decltype(is_whole)::value>, update, lookups,
                     scalars);
  });
}

}  // namespace

void CudaBackend::update_rows(Stream& stream, const RowArena& arena, const SlotId* slots,
                              const RowGradient& gradient, std::int64_t first, std::int64_t count,
                              const RowUpdateArgs& args) {
  const bool adamw =
      args.kind == RowOptimizerKind::kAdamW || args.kind == RowOptimizerKind::kAdamWLazy;
  const bool adagrad = args.kind == RowOptimizerKind::kAdagradRowwise;
  CHECK(gradient.width == arena.layout.width && arena.values != nullptr);
  CHECK(arena.last_step != nullptr && args.step >= 1 && args.step < std::uint64_t{1} << 32);
  CHECK(!adamw || (arena.layout.moments && arena.moment1 != nullptr && arena.moment2 != nullptr));
  CHECK(!adagrad || arena.row_state != nullptr);
  Operation operation(stream, "update_rows");
  const GradientLookups lookups = prepare_gradient(operation, gradient, first, count);
  if (count == 0) return;
  float* square_norms = nullptr;
  if (adagrad) {
    square_norms = operation.take<float>(count);
    launch_square_norms(operation, lookups, count, square_norms);
  }
  const AdamWScalars scalars = scalars_of(args);
  const Update update{arena,
                      slots,
                      gradient.grouped.unique_rows + first,
                      count,
                      rows_per_block(count),
                      args.kind == RowOptimizerKind::kAdamW,
                      square_norms,
                      args.grad_scale,
                      static_cast<float>(args.learning_rate),
                      static_cast<std::uint32_t>(args.step),
                      args.seed,
                      operation.report()};
  with_float_type(arena.layout.value_type, [&](auto value_type) {
    using Value = decltype(value_type);
    if (!adamw) {
      launch_update<Value, void>(operation, update, lookups, scalars);
      return;
    }
    with_float_type(arena.layout.moment_type, [&](auto moment_type) {
      launch_update<Value, decltype(moment_type)>(operation, update, lookups, scalars);
    });
  });
}

}  // namespace mneme::kernels::cuda
