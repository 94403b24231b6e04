// Operation update_rows of the CUDA backend: each row's gradient is summed, scaled and applied in
// one pass over value and moments, part by part.
//
// A block has a few rows. What leads to a row (slot, last step, lookups) is read for all of them at
// once; then each row's value, moments and gradient are read together, updated and written back.
#include <cmath>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/row_gradient.h"
#include "kernels/cuda/row_rounding.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kInFlight = 2;  // lookups of a thread, beside value and moments
// Named, so that the compiler spends registers on reads under way.
constexpr int kResidentBlocks = 3;

// A parameter of the kernels: one part of the rows.
struct Update {
  PartArrays part;
  RowSpan span;
  std::uint32_t* last_step;
  std::uint32_t* moment_lag;  // null: there are no moments
  const SlotId* slots;
  const RowId* rows;  // the chunk's distinct rows
  std::int64_t count;
  int block_rows;
  bool is_last;                     // of the rows' parts
  bool must_be_current;             // adamw
  const MomentDecay* moment_decay;  // may be null
  // adagrad-rowwise: of the unscaled gradients, [groups, count]; else null.
  const float* square_norms;
  int groups;
  float columns;            // of the whole part
  const float* grad_scale;  // may be null
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
  float decay1, decay2;  // of moments that are behind
  bool skipped;
};

// Adagrad's rate, with the row's sum brought up to date: of squares of the clipped gradient, a
// column's share.
__device__ float rate_of_row(const Update& update, const AdamWScalars& scalars, float scale,
                             std::int64_t i, SlotId slot) {
  if (update.square_norms == nullptr) return update.rate;
  float groups[8] = {};
  for (int g = 0; g < update.groups; ++g) groups[g] = update.square_norms[g * update.count + i];
  const float mean = scale * scale * tree_sum(groups, update.groups) / update.columns;
  const float sum = update.part.sums[slot] + mean;
  update.part.sums[slot] = sum;
  return update.rate / (sqrtf(sum) + scalars.epsilon);
}

// Fills a row's place and, with its last part, marks the row as updated. A row that is not current
// is reported and left.
__device__ void stage_row(const Update& update, const GradientLookups& lookups,
                          const AdamWScalars& scalars, float scale, std::int64_t i,
                          BlockRow& place) {
  const SlotId slot = update.slots[i];
  place.slot = slot;
  place.row = update.rows[i];
  place.begin = lookups.offsets[i];
  place.end = lookups.offsets[i + 1];
  place.skipped = true;
  place.decay1 = place.decay2 = 1;
  std::uint32_t& last_step = update.last_step[slot];
  if (update.must_be_current && last_step + 1 != update.step) {
    report(update.report, ReportCode::kRowNotCurrent, place.row, last_step, update.step);
    return;
  }
  const std::uint32_t lag = update.moment_lag != nullptr ? update.moment_lag[slot] : 0;
  if (lag != 0) {
    if (update.moment_decay == nullptr || lag >= update.step) {
      report(update.report, ReportCode::kMomentsBehind, place.row, lag, update.step);
      return;
    }
    place.decay1 = update.moment_decay[lag].decay1;
    place.decay2 = update.moment_decay[lag].decay2;
  }
  place.skipped = false;
  place.rate = rate_of_row(update, scalars, scale, i, slot);
  if (!update.is_last) return;
  last_step = update.step;
  if (update.moment_lag != nullptr) update.moment_lag[slot] = 0;
}

// One tile of a row in AdamW.
template <typename Value, typename Moment, typename Vector, bool kWhole>
__device__ __forceinline__ void adamw_tile(const Update& update, const GradientLookups& lookups,
                                           const AdamWScalars& scalars, float scale,
                                           const BlockRow& row, std::int64_t tile,
                                           LookupWindow& window) {
  const RowSpan span = update.span;
  const std::int64_t start = std::int64_t{row.slot} * span.width;
  auto* values = static_cast<Value*>(update.part.values) + start;
  auto* moments1 = static_cast<Moment*>(update.part.moment1) + start;
  auto* moments2 = static_cast<Moment*>(update.part.moment2) + start;
  Quads value, moment1, moment2, gradient;
  stream_quads<kWhole>(values, tile, span, value);
  stream_quads<kWhole>(moments1, tile, span, moment1);
  stream_quads<kWhole>(moments2, tile, span, moment2);
  sum_gradient<kInFlight, Vector, kWhole>(lookups, window, row.begin, row.end, span, tile,
                                          gradient);
  const RoundingKey key{update.seed, update.step, row.row};
#pragma unroll
  for (int k = 0; k < kQuads; ++k) {
    const std::int64_t column = span.column(tile, k), columns = span.columns(column);
    const std::int64_t random = span.random(tile, k);
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      moment1[k][c] *= row.decay1;
      moment2[k][c] *= row.decay2;
      adamw_element(scalars, gradient[k][c] * scale, value[k][c], moment1[k][c], moment2[k][c]);
    }
    std::uint32_t bits[kQuad] = {};
    if constexpr (sizeof(Value) == 2) rounding_quad(key, RoundingStream::kValue, random, bits);
    store_rounded_quad<kWhole>(values + column, columns, value[k], bits, 0);
    if constexpr (sizeof(Moment) == 2) rounding_quad(key, RoundingStream::kMoments, random, bits);
    store_rounded_quad<kWhole>(moments1 + column, columns, moment1[k], bits, 0);
    store_rounded_quad<kWhole>(moments2 + column, columns, moment2[k], bits, 16);
  }
}

// value = value * decay - rate * g: sgd, and adagrad with its rate divided by the row's sum.
template <typename Value, typename Vector, bool kWhole>
__device__ __forceinline__ void descend_tile(const Update& update, const GradientLookups& lookups,
                                             float decay, float scale, const BlockRow& row,
                                             std::int64_t tile, LookupWindow& window) {
  const RowSpan span = update.span;
  auto* values = static_cast<Value*>(update.part.values) + std::int64_t{row.slot} * span.width;
  Quads value, gradient;
  stream_quads<kWhole>(values, tile, span, value);
  sum_gradient<kInFlight, Vector, kWhole>(lookups, window, row.begin, row.end, span, tile,
                                          gradient);
  const RoundingKey key{update.seed, update.step, row.row};
#pragma unroll
  for (int k = 0; k < kQuads; ++k) {
    const std::int64_t column = span.column(tile, k);
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      value[k][c] = fused_multiply_add(value[k][c], decay, -(row.rate * (gradient[k][c] * scale)));
    }
    std::uint32_t bits[kQuad] = {};
    if constexpr (sizeof(Value) == 2) {
      rounding_quad(key, RoundingStream::kValue, span.random(tile, k), bits);
    }
    store_rounded_quad<kWhole>(values + column, span.columns(column), value[k], bits, 0);
  }
}

// Moment: void for optimisers without moments.
template <typename Value, typename Moment, typename Vector, bool kWhole>
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
    for (std::int64_t tile = 0; tile < update.span.end(); tile += row_tile()) {
      if constexpr (std::is_void_v<Moment>) {
        descend_tile<Value, Vector, kWhole>(update, lookups, scalars.decay, scale, row, tile,
                                            window);
      } else {
        adamw_tile<Value, Moment, Vector, kWhole>(update, lookups, scalars, scale, row, tile,
                                                  window);
      }
    }
  }
}

template <typename Value, typename Moment>
void launch_update(Operation& operation, const Update& update, const GradientLookups& lookups,
                   const AdamWScalars& scalars, bool whole) {
  with_float_type(lookups.type, [&](auto vector_type) {
    with_bool(whole, [&](auto is_whole) {
      operation.launch(
          {blocks_for(update.count, update.block_rows), span_threads(update.span)},
          update_rows_kernel<Value, Moment, decltype(vector_type), decltype(is_whole)::value>,
          update, lookups, scalars);
    });
  });
}

}  // namespace

void CudaBackend::update_rows(Stream& stream, const RowArena& arena, const SlotId* slots,
                              const RowGradient& gradient, std::int64_t first, std::int64_t count,
                              const RowUpdateArgs& args) {
  check_update(arena, gradient, args);
  Operation operation(stream, "update_rows");
  const AdamWScalars scalars = scalars_of(args);
  for (int i = 0; i < arena.layout.part_count; ++i) {
    const GradientLookups lookups = prepare_gradient(operation, gradient, i, first, count);
    if (count == 0) continue;
    const ArenaPart part(arena, i);
    Update update{.part = part.arrays,
                  .span = row_span(part),
                  .last_step = arena.last_step,
                  .moment_lag = arena.layout.has_moments() ? arena.moment_lag : nullptr,
                  .slots = slots,
                  .rows = gradient.grouped.unique_rows + first,
                  .count = count,
                  .block_rows = rows_per_block(count),
                  .is_last = i + 1 == arena.layout.part_count,
                  .must_be_current = args.kind == RowOptimizerKind::kAdamW,
                  .moment_decay = args.moment_decay,
                  .square_norms = nullptr,
                  .groups = static_cast<int>(part.layout.columns.groups()),
                  .columns = static_cast<float>(part.layout.columns.total),
                  .grad_scale = args.grad_scale,
                  .rate = static_cast<float>(args.learning_rate),
                  .step = static_cast<std::uint32_t>(args.step),
                  .seed = args.seed,
                  .report = operation.report()};
    if (args.kind == RowOptimizerKind::kAdagradRowwise) {
      if (args.row_square_norms != nullptr) {
        update.square_norms = args.row_square_norms + i * count;
        update.groups = 1;
      } else {
        auto* norms = operation.take<float>(count * update.groups);
        launch_square_norms(operation, lookups, count, norms);
        update.square_norms = norms;
      }
    }
    const bool whole = is_whole(lookups) && has_whole_quads(part);
    with_float_type(part.layout.value_type, [&](auto value_type) {
      using Value = decltype(value_type);
      if (!is_adamw(args.kind)) {
        launch_update<Value, void>(operation, update, lookups, scalars, whole);
        return;
      }
      with_float_type(part.layout.moment_type, [&](auto moment_type) {
        launch_update<Value, decltype(moment_type)>(operation, update, lookups, scalars, whole);
      });
    });
  }
}

}  // namespace mneme::kernels::cuda
