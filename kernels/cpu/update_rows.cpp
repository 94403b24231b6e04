// Operation update_rows of the CPU backend: each row's gradient is summed, scaled and applied in
// one pass over value and moments, part by part.
#include <cmath>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_gradient.h"
#include "kernels/cpu/row_rounding.h"
#include "kernels/cpu/slot_order.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cpu {
namespace {

struct Update {
  RowArena arena;
  const SlotId* slots;
  RowGradient gradient;
  std::int64_t first, count;
  RowUpdateArgs args;
  AdamWScalars adamw;  // decay is every optimiser's
};

AdamWScalars update_scalars(const RowUpdateArgs& args) {
  return adamw_scalars({.step = args.step,
                        .learning_rate = args.learning_rate,
                        .beta1 = args.beta1,
                        .beta2 = args.beta2,
                        .epsilon = args.epsilon,
                        .weight_decay = args.weight_decay});
}

// One part of the rows, in an update.
struct PartUpdate {
  const Update& update;
  int index;
  ArenaPart part;
  const GradientPart& gradient;

  PartUpdate(const Update& all, int of)
      : update(all), index(of), part(all.arena, of), gradient(all.gradient.parts[of]) {}
};

// One row of it.
template <typename Value, typename Moment>
struct RowStep {
  Value* value;
  Moment* moment1;
  Moment* moment2;
  GradientRow gradient;
  float scale;        // clip factor
  MomentDecay decay;  // of moments that are behind
  RowId row;
  ComingRow<Value, Moment> coming;
};

MNEME_INLINE float gradient_at(const GradientRow& gradient, float scale, std::int64_t column) {
  return gradient.source[column] * gradient.factor * scale;
}

// Values and moments of `count` columns from `column` of the gradient on.
template <typename Step>
MNEME_INLINE void adamw_columns(const Step& step, const AdamWScalars& scalars, std::int64_t column,
                                std::int64_t count, float* value, float* moment1, float* moment2) {
  const GradientRow gradient{step.gradient.source + column, step.gradient.factor};
  const float scale = step.scale;
  const MomentDecay decay = step.decay;
  const AdamWScalars s = scalars;
#pragma omp simd
  for (std::int64_t c = 0; c < count; ++c) {
    float v = value[c], m1 = moment1[c] * decay.decay1, m2 = moment2[c] * decay.decay2;
    adamw_element(s, gradient_at(gradient, scale, c), v, m1, m2);
    value[c] = v, moment1[c] = m1, moment2[c] = m2;
  }
}

// All float32: no rounding, no staging.
MNEME_INLINE void adamw_row(const RowStep<float, float>& step, const PartUpdate& part) {
  const std::int64_t width = part.part.width();
  for (std::int64_t column = 0; column < width; column += kColumnBlock) {
    const std::int64_t count = std::min(kColumnBlock, width - column);
    step.coming.prefetch(column, count);
    if (count == kColumnBlock) {
      adamw_columns(step, part.update.adamw, column, kColumnBlock, step.value + column,
                    step.moment1 + column, step.moment2 + column);
    } else {
      adamw_columns(step, part.update.adamw, column, count, step.value + column,
                    step.moment1 + column, step.moment2 + column);
    }
  }
}

template <typename Value, typename Moment>
MNEME_INLINE void adamw_row(const RowStep<Value, Moment>& step, const PartUpdate& part) {
  const Update& update = part.update;
  const auto number = static_cast<std::uint32_t>(update.args.step);
  for_each_block(part.part.random_column, part.part.width(),
                 [&](std::int64_t column, std::int64_t count, std::int64_t block,
                     std::int64_t offset) MNEME_VECTORISE {
                   float value[kColumnBlock], moment1[kColumnBlock], moment2[kColumnBlock];
                   std::uint32_t value_bits[kColumnBlock], moment_bits[kColumnBlock];
                   step.coming.prefetch(column, count);
                   load_columns(step.value + column, count, value);
                   load_columns(step.moment1 + column, count, moment1);
                   load_columns(step.moment2 + column, count, moment2);
                   adamw_columns(step, update.adamw, column, count, value, moment1, moment2);
                   if constexpr (std::is_same_v<Value, Bf16>) {
                     rounding_bits(update.args.seed, number, step.row, block,
                                   RoundingStream::kValue, value_bits);
                   }
                   if constexpr (std::is_same_v<Moment, Bf16>) {
                     rounding_bits(update.args.seed, number, step.row, block,
                                   RoundingStream::kMoments, moment_bits);
                   }
                   store_columns(step.value + column, count, value, value_bits + offset, 0);
                   store_columns(step.moment1 + column, count, moment1, moment_bits + offset, 0);
                   store_columns(step.moment2 + column, count, moment2, moment_bits + offset, 16);
                 });
}

// value = value * decay - rate * g: sgd, and adagrad with its rate divided by the row's sum.
template <typename Value>
MNEME_INLINE void descend_row(const RowStep<Value, float>& step, const PartUpdate& part,
                              float rate) {
  const Update& update = part.update;
  const float decay = update.adamw.decay;
  for_each_block(part.part.random_column, part.part.width(),
                 [&](std::int64_t column, std::int64_t count, std::int64_t block,
                     std::int64_t offset) MNEME_VECTORISE {
                   float value[kColumnBlock];
                   std::uint32_t bits[kColumnBlock];
                   step.coming.prefetch(column, count);
                   load_columns(step.value + column, count, value);
#pragma omp simd
                   for (std::int64_t c = 0; c < count; ++c) {
                     const float down = rate * gradient_at(step.gradient, step.scale, column + c);
                     value[c] = fused_multiply_add(value[c], decay, -down);
                   }
                   if constexpr (std::is_same_v<Value, Bf16>) {
                     rounding_bits(update.args.seed, static_cast<std::uint32_t>(update.args.step),
                                   step.row, block, RoundingStream::kValue, bits);
                   }
                   store_columns(step.value + column, count, value, bits + offset, 0);
                 });
}

// Adagrad's rate, with the row's sum brought up to date: of squares of the clipped gradient, a
// column's share.
float adagrad_rate(const PartUpdate& part, std::int64_t i, SlotId slot, const GradientRow& gradient,
                   float scale) {
  const Update& update = part.update;
  const ColumnRange columns = part.part.layout.columns;
  float norm = 0;
  if (update.args.row_square_norms != nullptr) {
    norm = update.args.row_square_norms[part.index * update.count + i];
  } else {
    float groups[kMostGroups];
    square_norms_of(gradient, columns, groups);
    norm = tree_sum(groups, static_cast<int>(columns.groups()));
  }
  float& sum = part.part.arrays.sums[slot];
  sum += scale * scale * norm / static_cast<float>(columns.total);
  return static_cast<float>(update.args.learning_rate) / (std::sqrt(sum) + update.adamw.epsilon);
}

// The decay of a row's moments, for the steps that they are behind.
MomentDecay decay_of(const Update& update, RowId row, SlotId slot) {
  const std::uint32_t lag = update.arena.moment_lag[slot];
  if (lag == 0) return {};
  CHECK(update.args.moment_decay != nullptr && lag < update.args.step,
        "the moments of row {} are {} steps behind in step {}", row, lag, update.args.step);
  return update.args.moment_decay[lag];
}

template <int kWide, typename Value, typename Moment, typename Vector>
void update_row(const PartUpdate& part, std::int64_t i, SlotId coming, float* buffer) {
  const Update& update = part.update;
  const RowArena& arena = update.arena;
  const GroupedLookups& grouped = update.gradient.grouped;
  const std::int64_t width = part.part.width();
  const SlotId slot = update.slots[i];
  const RowId row = grouped.unique_rows[update.first + i];
  const GradientRow gradient =
      gradient_row<kWide, Vector>(grouped, part.gradient, update.first + i, buffer);
  const float scale = update.args.grad_scale != nullptr ? *update.args.grad_scale : 1.0f;
  Value* value = row_of<Value>(part.part.arrays.values, slot, width);

  const RowOptimizerKind kind = update.args.kind;
  if (is_adamw(kind)) {
    const RowStep<Value, Moment> step{value,
                                      row_of<Moment>(part.part.arrays.moment1, slot, width),
                                      row_of<Moment>(part.part.arrays.moment2, slot, width),
                                      gradient,
                                      scale,
                                      decay_of(update, row, slot),
                                      row,
                                      {part.part, coming}};
    vectorised([&step, &part]() MNEME_VECTORISE { adamw_row(step, part); });
  } else {
    const float rate = kind == RowOptimizerKind::kAdagradRowwise
                           ? adagrad_rate(part, i, slot, gradient, scale)
                           : static_cast<float>(update.args.learning_rate);
    const RowStep<Value, float> step{value, nullptr, nullptr, gradient,
                                     scale, {},      row,     {part.part, coming}};
    vectorised([&step, &part, rate]() MNEME_VECTORISE { descend_row(step, part, rate); });
  }
  // The last part's turn.
  if (part.index + 1 < arena.layout.part_count) return;
  CHECK(kind != RowOptimizerKind::kAdamW || arena.last_step[slot] + 1 == update.args.step,
        "row {} is current for step {}, updated in step {}", row, arena.last_step[slot],
        update.args.step);
  arena.last_step[slot] = static_cast<std::uint32_t>(update.args.step);
  if (arena.moment_lag != nullptr) arena.moment_lag[slot] = 0;
}

// A few rows in visiting order. What leads to each row's gradient is looked up for all of them at
// once, so that the cache misses of the chain overlap.
template <int kWide, typename Value, typename Moment, typename Vector>
void update_batch(const PartUpdate& part, const std::uint32_t* order, std::int64_t count,
                  float* buffer) {
  const Update& update = part.update;
  const GroupedLookups& grouped = update.gradient.grouped;
  const auto vector_bytes = part.part.width() * static_cast<std::int64_t>(sizeof(Vector));
  const Vector* vectors[kUpdateBatch];
  for (std::int64_t at = 0; at < count; ++at) {
    const std::uint32_t lookup = grouped.order[grouped.offsets[update.first + order[at]]];
    vectors[at] = token_vector<Vector>(grouped, part.gradient, lookup);
    const SlotId slot = update.slots[order[at]];
    if (part.gradient.factors != nullptr) __builtin_prefetch(&part.gradient.factors[lookup]);
    __builtin_prefetch(&grouped.unique_rows[update.first + order[at]]);
    __builtin_prefetch(&update.arena.last_step[slot], 1);
    if (update.arena.moment_lag != nullptr) __builtin_prefetch(&update.arena.moment_lag[slot], 1);
  }
  for (std::int64_t at = 0; at < count; ++at) {
    const std::int64_t coming = std::min(at + kUpdateRowsAhead, count - 1);
    prefetch_bytes(vectors[coming], vector_bytes);
    update_row<kWide, Value, Moment, Vector>(part, order[at], update.slots[order[coming]], buffer);
  }
}

template <typename Value, typename Moment, typename Vector>
void update_part(const PartUpdate& part, const std::uint32_t* order, Scratch& scratch) {
  const std::int64_t width = part.part.width();
  float* buffers = scratch.take<float>(thread_slots() * width);
  with_register_blocks([&](auto wide) {
    parallel_chunks(part.update.count, kUpdateBatch, [&](std::int64_t begin, std::int64_t end) {
      update_batch<decltype(wide)::value, Value, Moment, Vector>(part, order + begin, end - begin,
                                                                 buffers + thread_slot() * width);
    });
  });
}

void update_all(const Update& update, Scratch& scratch) {
  const std::uint32_t* order = order_by_slot(update.slots, update.count, scratch);
  for (int i = 0; i < update.arena.layout.part_count; ++i) {
    const PartUpdate part(update, i);
    with_float_type(part.part.layout.value_type, [&](auto value_type) {
      with_float_type(part.part.layout.moment_type, [&](auto moment_type) {
        with_float_type(part.gradient.type, [&](auto vector_type) {
          update_part<decltype(value_type), decltype(moment_type), decltype(vector_type)>(
              part, order, scratch);
        });
      });
    });
  }
}

}  // namespace

void CpuBackend::update_rows(Stream& stream, const RowArena& arena, const SlotId* slots,
                             const RowGradient& gradient, std::int64_t first, std::int64_t count,
                             const RowUpdateArgs& args) {
  check_update(arena, gradient, args);
  CHECK(first >= 0 && count >= 0);
  const Update update{arena, slots, gradient, first, count, args, update_scalars(args)};
  on(stream).enqueue([=](Scratch& scratch) { update_all(update, scratch); });
}

}  // namespace mneme::kernels::cpu
