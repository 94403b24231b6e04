// Operation update_rows of the CPU backend: each row's gradient is summed, scaled and applied in
// one pass over value and moments.
#include <cmath>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_gradient.h"
#include "kernels/cpu/row_rounding.h"
#include "kernels/cpu/slot_order.h"

namespace mneme::kernels::cpu {
namespace {

struct Update {
  RowArena arena;
  const SlotId* slots;
  RowGradient gradient;
  std::int64_t first;
  RowUpdateArgs args;
  AdamWScalars adamw;  // decay is every optimiser's
  float rate;
};

AdamWScalars update_scalars(const RowUpdateArgs& args) {
  return adamw_scalars({.step = args.step,
                        .learning_rate = args.learning_rate,
                        .beta1 = args.beta1,
                        .beta2 = args.beta2,
                        .epsilon = args.epsilon,
                        .weight_decay = args.weight_decay});
}

// One row's part in an update.
template <typename Value, typename Moment>
struct RowStep {
  Value* value;
  Moment* moment1;
  Moment* moment2;
  GradientRow gradient;
  float scale;  // clip factor
  RowId row;
};

MNEME_INLINE float gradient_at(const GradientRow& gradient, float scale, std::int64_t column) {
  return gradient.source[column] * gradient.factor * scale;
}

// All float32: no rounding, no staging.
MNEME_INLINE void adamw_row(const RowStep<float, float>& part, const Update& update,
                            std::int64_t width) {
  const AdamWScalars scalars = update.adamw;
  const GradientRow gradient = part.gradient;
  float* value = part.value;
  float* moment1 = part.moment1;
  float* moment2 = part.moment2;
  const float scale = part.scale;
#pragma omp simd
  for (std::int64_t c = 0; c < width; ++c) {
    adamw_element(scalars, gradient_at(gradient, scale, c), value[c], moment1[c], moment2[c]);
  }
}

template <typename Value, typename Moment>
MNEME_INLINE void adamw_row(const RowStep<Value, Moment>& part, const Update& update,
                            std::int64_t width) {
  const auto step = static_cast<std::uint32_t>(update.args.step);
  const AdamWScalars scalars = update.adamw;
  float value[kColumnBlock], moment1[kColumnBlock], moment2[kColumnBlock];
  std::uint32_t value_bits[kColumnBlock], moment_bits[kColumnBlock];
  for (std::int64_t column = 0; column < width; column += kColumnBlock) {
    const std::int64_t count = std::min(kColumnBlock, width - column);
    load_columns(part.value + column, count, value);
    load_columns(part.moment1 + column, count, moment1);
    load_columns(part.moment2 + column, count, moment2);
#pragma omp simd
    for (std::int64_t c = 0; c < count; ++c) {
      adamw_element(scalars, gradient_at(part.gradient, part.scale, column + c), value[c],
                    moment1[c], moment2[c]);
    }
    const std::int64_t block = column / kColumnBlock;
    if constexpr (std::is_same_v<Value, Bf16>) {
      rounding_bits(update.args.seed, step, part.row, block, RoundingStream::kValue, value_bits);
    }
    if constexpr (std::is_same_v<Moment, Bf16>) {
      rounding_bits(update.args.seed, step, part.row, block, RoundingStream::kMoments, moment_bits);
    }
    store_columns(part.value + column, count, value, value_bits, 0);
    store_columns(part.moment1 + column, count, moment1, moment_bits, 0);
    store_columns(part.moment2 + column, count, moment2, moment_bits, 16);
  }
}

// value = value * decay - rate * g: sgd, and adagrad with its rate divided by the row's state.
template <typename Value>
MNEME_INLINE void descend_row(const RowStep<Value, float>& part, const Update& update, float rate,
                              std::int64_t width) {
  const float decay = update.adamw.decay;
  float value[kColumnBlock];
  std::uint32_t bits[kColumnBlock];
  for (std::int64_t column = 0; column < width; column += kColumnBlock) {
    const std::int64_t count = std::min(kColumnBlock, width - column);
    load_columns(part.value + column, count, value);
#pragma omp simd
    for (std::int64_t c = 0; c < count; ++c) {
      const float step = rate * gradient_at(part.gradient, part.scale, column + c);
      value[c] = fused_multiply_add(value[c], decay, -step);
    }
    if constexpr (std::is_same_v<Value, Bf16>) {
      rounding_bits(update.args.seed, static_cast<std::uint32_t>(update.args.step), part.row,
                    column / kColumnBlock, RoundingStream::kValue, bits);
    }
    store_columns(part.value + column, count, value, bits, 0);
  }
}

template <int kWide, typename Value, typename Moment>
void update_row(const Update& update, std::int64_t i, float* buffer) {
  const std::int64_t width = update.gradient.width;
  const RowArena& arena = update.arena;
  const SlotId slot = update.slots[i];
  const RowId row = update.gradient.grouped.unique_rows[update.first + i];
  const GradientRow gradient = gradient_row<kWide>(update.gradient, update.first + i, buffer);
  const float scale = update.args.grad_scale != nullptr ? *update.args.grad_scale : 1.0f;
  Value* value = row_of<Value>(arena.values, slot, width);

  const RowOptimizerKind kind = update.args.kind;
  if (kind == RowOptimizerKind::kAdamW || kind == RowOptimizerKind::kAdamWLazy) {
    CHECK(kind == RowOptimizerKind::kAdamWLazy || arena.last_step[slot] + 1 == update.args.step,
          "row {} is current for step {}, updated in step {}", row, arena.last_step[slot],
          update.args.step);
    const RowStep<Value, Moment> part{value,
                                      row_of<Moment>(arena.moment1, slot, width),
                                      row_of<Moment>(arena.moment2, slot, width),
                                      gradient,
                                      scale,
                                      row};
    vectorised([&part, &update, width]() MNEME_VECTORISE { adamw_row(part, update, width); });
  } else {
    float rate = update.rate;
    if (kind == RowOptimizerKind::kAdagradRowwise) {
      const float mean = scale * scale * square_norm(gradient, width) / static_cast<float>(width);
      arena.row_state[slot] += mean;
      rate /= std::sqrt(arena.row_state[slot]) + update.adamw.epsilon;
    }
    const RowStep<Value, float> part{value, nullptr, nullptr, gradient, scale, row};
    vectorised([&part, &update, rate, width]()
                   MNEME_VECTORISE { descend_row(part, update, rate, width); });
  }
  arena.last_step[slot] = static_cast<std::uint32_t>(update.args.step);
}

// A few rows in visiting order. What leads to each row's gradient is looked up for all of them at
// once, so that the cache misses of the chain overlap.
constexpr std::int64_t kBatch = 64;

template <int kWide, typename Value, typename Moment>
void update_batch(const Update& update, const std::uint32_t* order, std::int64_t count,
                  float* buffer) {
  const std::int64_t width = update.gradient.width;
  const GroupedLookups& grouped = update.gradient.grouped;
  const float* gradients[kBatch];
  for (std::int64_t at = 0; at < count; ++at) {
    const std::uint32_t lookup = grouped.order[grouped.offsets[update.first + order[at]]];
    gradients[at] = token_gradient(update.gradient, lookup);
    __builtin_prefetch(&update.gradient.weights[lookup]);
    __builtin_prefetch(&grouped.unique_rows[update.first + order[at]]);
    __builtin_prefetch(&update.arena.last_step[update.slots[order[at]]], 1);
  }
  for (std::int64_t at = 0; at < std::min(kUpdateRowsAhead, count); ++at) {
    prefetch_row_to_update<Value, Moment>(update.arena, update.slots[order[at]]);
  }
  for (std::int64_t at = 0; at < count; ++at) {
    if (at + kUpdateRowsAhead < count) {
      prefetch_row_to_update<Value, Moment>(update.arena,
                                            update.slots[order[at + kUpdateRowsAhead]]);
      prefetch_bytes(gradients[at + kUpdateRowsAhead], width * 4);
    }
    update_row<kWide, Value, Moment>(update, order[at], buffer);
  }
}

template <typename Value, typename Moment>
void update_all(const Update& update, std::int64_t count, Scratch& scratch) {
  const std::int64_t width = update.gradient.width;
  float* buffers = scratch.take<float>(thread_slots() * width);
  const std::uint32_t* order = order_by_slot(update.slots, count, scratch);
  with_register_blocks([&](auto wide) {
    parallel_chunks(count, kBatch, [&](std::int64_t begin, std::int64_t end) {
      update_batch<decltype(wide)::value, Value, Moment>(update, order + begin, end - begin,
                                                         buffers + thread_slot() * width);
    });
  });
}

}  // namespace

void CpuBackend::update_rows(Stream& stream, const RowArena& arena, const SlotId* slots,
                             const RowGradient& gradient, std::int64_t first, std::int64_t count,
                             const RowUpdateArgs& args) {
  check_gradient(gradient);
  const bool adamw =
      args.kind == RowOptimizerKind::kAdamW || args.kind == RowOptimizerKind::kAdamWLazy;
  CHECK(gradient.width == arena.layout.width && arena.values != nullptr);
  CHECK(arena.last_step != nullptr && args.step >= 1 && args.step < std::uint64_t{1} << 32);
  CHECK(!adamw || (arena.layout.moments && arena.moment1 != nullptr && arena.moment2 != nullptr));
  CHECK(args.kind != RowOptimizerKind::kAdagradRowwise || arena.row_state != nullptr);
  CHECK(first >= 0 && count >= 0);
  Update update{arena, slots, gradient, first, args, update_scalars(args), 0};
  update.rate = static_cast<float>(args.learning_rate);
  on(stream).enqueue([=](Scratch& scratch) {
    with_float_type(arena.layout.value_type, [&](auto value_type) {
      with_float_type(arena.layout.moment_type, [&](auto moment_type) {
        update_all<decltype(value_type), decltype(moment_type)>(update, count, scratch);
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
