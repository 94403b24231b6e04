// Operation catch_up_rows of the CPU backend: the missed AdamW steps of rows that were not in use,
// SPEC.md's sum in the closed form of CatchUpEntry, or element by element where that does not hold.
#include <algorithm>
#include <cmath>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_rounding.h"
#include "kernels/cpu/slot_order.h"

namespace mneme::kernels::cpu {
namespace {

// What all columns of one row share.
struct RowScalars {
  float decay;                     // D(l, t)
  float decay1, decay2;            // of the moments
  float numerator[kCatchUpTerms];  // P times D(l, t)
  float denominator[kCatchUpTerms + 1];
  float scale;  // 1 / b_(l+1)
  float inverse_epsilon;
  float scaled_epsilon;  // epsilon * scale
};

MNEME_INLINE float polynomial(const float* coefficients, int degree, float z) {
  float sum = coefficients[degree];
#pragma GCC unroll 16
  for (int i = degree - 1; i >= 0; --i) sum = fused_multiply_add(sum, z, coefficients[i]);
  return sum;
}

MNEME_INLINE float reversed_polynomial(const float* coefficients, int degree, float z) {
  float sum = coefficients[0];
#pragma GCC unroll 16
  for (int i = 1; i <= degree; ++i) sum = fused_multiply_add(sum, z, coefficients[i]);
  return sum;
}

// 1/sqrt(x) for normal x, to a few units in the last place, without the divider: Newton's iteration
// from a guess made of x's bits.
MNEME_INLINE float inverse_root(float x) {
  float y = bits_float(0x5f375a86u - (float_bits(x) >> 1));
  const float half = 0.5f * x;
  for (int i = 0; i < 3; ++i) y *= fused_multiply_add(-half * y, y, 1.5f);
  return y;
}

// The smallest moment that inverse_root serves.
constexpr float kSmallestMoment = 1e-36f;

// The closed form again with exact roots, and in 1/z where z = scaled_epsilon / sqrt(v) > 1.
MNEME_INLINE void closed_drift_of_small(const RowScalars& s, std::int64_t count,
                                        const float* moment1, const float* moment2, float* drift) {
#pragma omp simd
  for (std::int64_t c = 0; c < count; ++c) {
    const float root = __builtin_sqrtf(moment2[c]);
    const float z = s.scaled_epsilon / root;
    const float direct = moment1[c] * s.scale / root *
                         polynomial(s.numerator, kCatchUpTerms - 1, z) /
                         polynomial(s.denominator, kCatchUpTerms, z);
    const float r = root / s.scaled_epsilon;
    const float reversed = moment1[c] * s.inverse_epsilon *
                           reversed_polynomial(s.numerator, kCatchUpTerms - 1, r) /
                           reversed_polynomial(s.denominator, kCatchUpTerms, r);
    const float chosen = root < s.scaled_epsilon ? reversed : direct;
    drift[c] = moment1[c] == 0.0f ? 0.0f : chosen;
  }
}

// drift[c] = what value c loses. Columns with sqrt(v) >= scaled_epsilon, nearly all, take the quick
// way; a block with any other column is done again.
MNEME_INLINE void closed_drift(const RowScalars& row, std::int64_t count, const float* moment1,
                               const float* moment2, float* drift) {
  const RowScalars s = row;
  const float smallest = std::max(kSmallestMoment, s.scaled_epsilon * s.scaled_epsilon);
  std::int32_t small = 0;
#pragma omp simd reduction(| : small)
  for (std::int64_t c = 0; c < count; ++c) {
    const float inverse = inverse_root(moment2[c]);
    const float z = s.scaled_epsilon * inverse;
    const float ratio =
        polynomial(s.numerator, kCatchUpTerms - 1, z) / polynomial(s.denominator, kCatchUpTerms, z);
    drift[c] = moment1[c] * s.scale * inverse * ratio;
    small |= moment2[c] < smallest ? 1 : 0;
  }
  if (small != 0) closed_drift_of_small(s, count, moment1, moment2, drift);
}

// The sum itself, in double. Nothing to do for rows that no step has updated: they have no
// momentum.
void summed_drift(const CatchUpArgs& args, std::uint64_t l, std::int64_t count,
                  const float* moment1, const float* moment2, float* drift) {
  std::fill(drift, drift + count, 0.0f);
  if (std::all_of(moment1, moment1 + count, [](float m) { return m == 0.0f; })) return;
  double sums[kColumnBlock] = {}, roots[kColumnBlock];
  for (std::int64_t c = 0; c < count; ++c) roots[c] = std::sqrt(static_cast<double>(moment2[c]));
  const std::uint64_t last = std::min(args.target_step, l + args.window);
  for (std::uint64_t s = l + 1; s <= last; ++s) {
    const auto missed = static_cast<double>(s - l), step = static_cast<double>(s);
    const double weight = args.learning_rates[s] *
                          std::exp(args.log_decay[args.target_step] - args.log_decay[s]) *
                          std::pow(args.beta1, missed) / (1 - std::pow(args.beta1, step));
    const double b = std::sqrt(std::pow(args.beta2, missed) / (1 - std::pow(args.beta2, step)));
    for (std::int64_t c = 0; c < count; ++c) sums[c] += weight / (b * roots[c] + args.epsilon);
  }
  for (std::int64_t c = 0; c < count; ++c) {
    if (moment1[c] != 0.0f) drift[c] = static_cast<float>(moment1[c] * sums[c]);
  }
}

RowScalars catch_up_scalars(const CatchUpArgs& args, std::uint64_t l) {
  const CatchUpEntry& entry = args.entries[l];
  const auto missed = static_cast<double>(args.target_step - l);
  const double decay = std::exp(args.log_decay[args.target_step] - args.log_decay[l]);
  RowScalars row;
  row.decay = static_cast<float>(decay);
  row.decay1 = static_cast<float>(std::pow(args.beta1, missed));
  row.decay2 = static_cast<float>(std::pow(args.beta2, missed));
  for (int i = 0; i < kCatchUpTerms; ++i) row.numerator[i] = entry.numerator[i] * row.decay;
  for (int i = 0; i <= kCatchUpTerms; ++i) row.denominator[i] = args.denominator[i];
  row.scale = entry.scale;
  row.inverse_epsilon = static_cast<float>(1 / args.epsilon);
  row.scaled_epsilon = static_cast<float>(args.epsilon) * entry.scale;
  return row;
}

// The scalars of recently met last steps, one cache a thread: powers and exponentials cost as much
// as a third of a row.
struct ScalarCache {
  static constexpr std::uint64_t kPlaces = 64;
  std::uint64_t last_step[kPlaces];
  RowScalars scalars[kPlaces];

  void clear() { std::fill(last_step, last_step + kPlaces, ~std::uint64_t{0}); }
  const RowScalars& get(const CatchUpArgs& args, std::uint64_t l) {
    const std::uint64_t place = l % kPlaces;
    if (last_step[place] != l) {
      scalars[place] = catch_up_scalars(args, l);
      last_step[place] = l;
    }
    return scalars[place];
  }
};

// Applies drift and decay to `count` columns.
MNEME_INLINE void apply(const RowScalars& row, std::int64_t count, const float* drift, float* value,
                        float* moment1, float* moment2) {
  const float decay = row.decay, decay1 = row.decay1, decay2 = row.decay2;
#pragma omp simd
  for (std::int64_t c = 0; c < count; ++c) {
    value[c] = fused_multiply_add(value[c], decay, -drift[c]);
    moment1[c] *= decay1;
    moment2[c] *= decay2;
  }
}

// One row on its way to the target step.
template <typename Value, typename Moment>
struct MissedSteps {
  Value* value;
  Moment* moment1;
  Moment* moment2;
  RowId row;
  std::uint64_t last_step;
  bool closed_form;
};

// Inlined with a constant count for whole blocks.
template <typename Value, typename Moment>
MNEME_INLINE void catch_up_columns(const MissedSteps<Value, Moment>& part,
                                   const RowScalars& scalars, const CatchUpArgs& args,
                                   std::int64_t column, std::int64_t count) {
  const auto step = static_cast<std::uint32_t>(args.target_step);
  const std::int64_t block = column / kColumnBlock;
  alignas(64) float value[kColumnBlock], moment1[kColumnBlock], moment2[kColumnBlock];
  alignas(64) float drift[kColumnBlock];
  std::uint32_t value_bits[kColumnBlock], moment_bits[kColumnBlock];
  load_columns(part.value + column, count, value);
  load_columns(part.moment1 + column, count, moment1);
  load_columns(part.moment2 + column, count, moment2);
  if (part.closed_form) {
    closed_drift(scalars, count, moment1, moment2, drift);
  } else {
    summed_drift(args, part.last_step, count, moment1, moment2, drift);
  }
  apply(scalars, count, drift, value, moment1, moment2);
  if constexpr (std::is_same_v<Value, Bf16>) {
    rounding_bits(args.seed, step, part.row, block, RoundingStream::kValue, value_bits);
  }
  if constexpr (std::is_same_v<Moment, Bf16>) {
    rounding_bits(args.seed, step, part.row, block, RoundingStream::kMoments, moment_bits);
  }
  store_columns(part.value + column, count, value, value_bits, 0);
  store_columns(part.moment1 + column, count, moment1, moment_bits, 0);
  store_columns(part.moment2 + column, count, moment2, moment_bits, 16);
}

template <typename Value, typename Moment>
void catch_up_row(const RowArena& arena, RowId row, SlotId slot, const CatchUpArgs& args,
                  ScalarCache& cache) {
  const std::uint64_t l = arena.last_step[slot];
  if (l == args.target_step) return;
  CHECK(l < args.target_step, "row {} is current for step {}, after step {}", row, l,
        args.target_step);
  const auto width = static_cast<std::int64_t>(arena.layout.width);
  const RowScalars& scalars = cache.get(args, l);
  const MissedSteps<Value, Moment> part{row_of<Value>(arena.values, slot, width),
                                        row_of<Moment>(arena.moment1, slot, width),
                                        row_of<Moment>(arena.moment2, slot, width),
                                        row,
                                        l,
                                        args.entries[l].closed_form != 0};
  vectorised([&part, &scalars, &args, width]() MNEME_VECTORISE {
    std::int64_t column = 0;
    for (; column + kColumnBlock <= width; column += kColumnBlock) {
      catch_up_columns(part, scalars, args, column, kColumnBlock);
    }
    if (column < width) catch_up_columns(part, scalars, args, column, width - column);
  });
  arena.last_step[slot] = static_cast<std::uint32_t>(args.target_step);
}

template <typename Value, typename Moment>
void catch_up_all(const RowArena& arena, const RowId* rows, const SlotId* slots, std::int64_t count,
                  const CatchUpArgs& args, Scratch& scratch) {
  const auto record_bytes = static_cast<std::int64_t>(arena.layout.record_bytes());
  const std::uint32_t* order = order_by_slot(slots, count, scratch);
  auto* caches = scratch.take<ScalarCache>(thread_slots());
  for (int i = 0; i < thread_slots(); ++i) caches[i].clear();
  parallel_chunks(count, rows_per_chunk(record_bytes), [&](std::int64_t begin, std::int64_t end) {
    ScalarCache& cache = caches[thread_slot()];
    for (std::int64_t at = begin; at < end; ++at) {
      __builtin_prefetch(&arena.last_step[slots[order[at]]], 1);
      __builtin_prefetch(&rows[order[at]]);
    }
    for (std::int64_t at = begin; at < end; ++at) {
      if (at + kUpdateRowsAhead < count) {
        prefetch_row_to_update<Value, Moment>(arena, slots[order[at + kUpdateRowsAhead]]);
      }
      catch_up_row<Value, Moment>(arena, rows[order[at]], slots[order[at]], args, cache);
    }
  });
}

}  // namespace

void CpuBackend::catch_up_rows(Stream& stream, const RowArena& arena, const RowId* rows,
                               const SlotId* slots, std::int64_t count, const CatchUpArgs& args) {
  if (args.kind != RowOptimizerKind::kAdamW) return;
  CHECK(arena.layout.moments && arena.values != nullptr && arena.moment1 != nullptr &&
        arena.moment2 != nullptr && arena.last_step != nullptr);
  CHECK(args.target_step < std::uint64_t{1} << 32);
  CHECK(args.target_step == 0 || (args.entries != nullptr && args.learning_rates != nullptr &&
                                  args.log_decay != nullptr && args.window >= 1));
  on(stream).enqueue([=](Scratch& scratch) {
    with_float_type(arena.layout.value_type, [&](auto value_type) {
      with_float_type(arena.layout.moment_type, [&](auto moment_type) {
        catch_up_all<decltype(value_type), decltype(moment_type)>(arena, rows, slots, count, args,
                                                                  scratch);
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
