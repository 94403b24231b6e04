// Operation catch_up_rows of the CPU backend: the missed AdamW steps of rows that were not in use,
// SPEC.md's sum in the closed form of CatchUpEntry, or element by element where that does not hold.
// It reads values and moments and writes values: 12 and 4 bytes an element of float32.
#include <algorithm>
#include <cmath>
#include <limits>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_rounding.h"
#include "kernels/cpu/slot_order.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cpu {
namespace {

// What all columns of one row share.
struct RowScalars {
  float decay;                     // D(l, t)
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

// What a value loses whose second moment is not small: sqrt(v) >= scaled_epsilon. Nearly all are.
MNEME_INLINE float quick_drift(const RowScalars& s, float moment1, float moment2) {
  const float root = __builtin_sqrtf(moment2);
  const float z = s.scaled_epsilon / root;
  return moment1 * s.scale * polynomial(s.numerator, kCatchUpTerms - 1, z) /
         (polynomial(s.denominator, kCatchUpTerms, z) * root);
}
// The smallest second moment that it serves.
MNEME_INLINE float smallest_quick(const RowScalars& s) {
  return std::max(std::numeric_limits<float>::min(), s.scaled_epsilon * s.scaled_epsilon);
}

// The closed form again, in 1/z where z = scaled_epsilon / sqrt(v) > 1, for columns whose second
// moment is below `smallest`.
MNEME_INLINE void closed_drift_of_small(const RowScalars& s, float smallest, std::int64_t count,
                                        const float* moment1, const float* moment2, float* drift) {
#pragma omp simd
  for (std::int64_t c = 0; c < count; ++c) {
    const float root = __builtin_sqrtf(moment2[c]);
    const float r = root / s.scaled_epsilon;
    const float reversed = moment1[c] * s.inverse_epsilon *
                           reversed_polynomial(s.numerator, kCatchUpTerms - 1, r) /
                           reversed_polynomial(s.denominator, kCatchUpTerms, r);
    const float exact = root < s.scaled_epsilon ? reversed : quick_drift(s, moment1[c], moment2[c]);
    drift[c] = moment2[c] < smallest ? (moment1[c] == 0.0f ? 0.0f : exact) : drift[c];
  }
}

// drift[c] = what value c loses. A block with any small moment is worked on once more for those.
// Each column's way depends on itself alone.
MNEME_INLINE void closed_drift(const RowScalars& row, std::int64_t count, const float* moment1,
                               const float* moment2, float* drift) {
  const RowScalars s = row;
  const float smallest = smallest_quick(s);
  std::int32_t small = 0;
#pragma omp simd reduction(| : small)
  for (std::int64_t c = 0; c < count; ++c) {
    drift[c] = quick_drift(s, moment1[c], moment2[c]);
    small |= moment2[c] < smallest ? 1 : 0;
  }
  if (small != 0) closed_drift_of_small(s, smallest, count, moment1, moment2, drift);
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
  const double decay = std::exp(args.log_decay[args.target_step] - args.log_decay[l]);
  RowScalars row;
  row.decay = static_cast<float>(decay);
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
MNEME_INLINE void apply(const RowScalars& row, std::int64_t count, const float* drift,
                        float* value) {
  const float decay = row.decay;
#pragma omp simd
  for (std::int64_t c = 0; c < count; ++c) {
    value[c] = fused_multiply_add(value[c], decay, -drift[c]);
  }
}

// One part of one row on its way to the target step.
template <typename Value, typename Moment>
struct MissedSteps {
  Value* value;
  const Moment* moment1;
  const Moment* moment2;
  RowId row;
  std::uint64_t last_step;
  MomentDecay decay;  // what makes the moments those of last_step
  bool closed_form;
  ComingRow<Value, Moment> coming;
};

// Columns of a part, and of which random numbers they are.
struct Piece {
  std::int64_t column, block, offset;
};

// The quick way of float32 rows, in place: copies on the stack would cost as much as the rows' own
// memory. False, and nothing done, where a moment is small.
MNEME_INLINE bool catch_up_in_place(const MissedSteps<float, float>& part, const RowScalars& row,
                                    std::int64_t column, std::int64_t count) {
  const RowScalars s = row;
  const MomentDecay moments = part.decay;
  float* const value = part.value + column;
  const float* const moment1 = part.moment1 + column;
  const float* const moment2 = part.moment2 + column;
  const float smallest = smallest_quick(s);
  std::int32_t small = 0;
#pragma omp simd reduction(| : small)
  for (std::int64_t c = 0; c < count; ++c) {
    small |= moment2[c] * moments.decay2 < smallest ? 1 : 0;
  }
  if (small != 0) return false;
  for (std::int64_t piece = 0; piece < count; piece += kLanes) {
    const std::int64_t end = std::min<std::int64_t>(piece + kLanes, count);
    part.coming.prefetch(column + piece, end - piece);
#pragma omp simd
    for (std::int64_t c = piece; c < end; ++c) {
      const float drift = quick_drift(s, moment1[c] * moments.decay1, moment2[c] * moments.decay2);
      value[c] = fused_multiply_add(value[c], s.decay, -drift);
    }
  }
  return true;
}

// Inlined with a constant count for whole blocks.
template <typename Value, typename Moment>
MNEME_INLINE void catch_up_columns(const MissedSteps<Value, Moment>& part,
                                   const RowScalars& scalars, const CatchUpArgs& args,
                                   const Piece& piece, std::int64_t count) {
  const std::int64_t column = piece.column;
  if constexpr (std::is_same_v<Value, float> && std::is_same_v<Moment, float>) {
    if (part.closed_form && catch_up_in_place(part, scalars, column, count)) return;
  }
  alignas(64) float value[kColumnBlock], moment1[kColumnBlock], moment2[kColumnBlock];
  alignas(64) float drift[kColumnBlock];
  std::uint32_t bits[kColumnBlock];
  part.coming.prefetch(column, count);
  load_columns(part.value + column, count, value);
  load_columns(part.moment1 + column, count, moment1);
  load_columns(part.moment2 + column, count, moment2);
  const MomentDecay decay = part.decay;
#pragma omp simd
  for (std::int64_t c = 0; c < count; ++c) {
    moment1[c] *= decay.decay1;
    moment2[c] *= decay.decay2;
  }
  if (part.closed_form) {
    closed_drift(scalars, count, moment1, moment2, drift);
  } else {
    summed_drift(args, part.last_step, count, moment1, moment2, drift);
  }
  apply(scalars, count, drift, value);
  if constexpr (std::is_same_v<Value, Bf16>) {
    rounding_bits(args.seed, static_cast<std::uint32_t>(args.target_step), part.row, piece.block,
                  RoundingStream::kValue, bits);
  }
  store_columns(part.value + column, count, value, bits + piece.offset, 0);
}

// What a pass over one part of the rows needs.
struct PartCatchUp {
  const RowArena& arena;
  ArenaPart part;
  bool last;  // of the row's parts
  const CatchUpArgs& args;
};

template <typename Value, typename Moment>
void catch_up_row(const PartCatchUp& pass, RowId row, SlotId slot,
                  const ComingRow<Value, Moment>& coming, ScalarCache& cache) {
  const RowArena& arena = pass.arena;
  const CatchUpArgs& args = pass.args;
  const std::uint64_t l = arena.last_step[slot];
  if (l == args.target_step) return;
  CHECK(l < args.target_step, "row {} is current for step {}, after step {}", row, l,
        args.target_step);
  const std::uint32_t lag = arena.moment_lag[slot];
  CHECK(lag <= l, "the moments of row {} are {} steps behind step {}", row, lag, l);
  const std::int64_t width = pass.part.width();
  const PartArrays& arrays = pass.part.arrays;
  const RowScalars& scalars = cache.get(args, l);
  const MissedSteps<Value, Moment> part{row_of<Value>(arrays.values, slot, width),
                                        row_of<const Moment>(arrays.moment1, slot, width),
                                        row_of<const Moment>(arrays.moment2, slot, width),
                                        row,
                                        l,
                                        args.moment_decay[lag],
                                        args.entries[l].closed_form != 0,
                                        coming};
  const std::uint32_t first = pass.part.random_column;
  vectorised([&part, &scalars, &args, width, first]() MNEME_VECTORISE {
    for_each_block(first, width,
                   [&](std::int64_t column, std::int64_t count, std::int64_t block,
                       std::int64_t offset) MNEME_VECTORISE {
                     if (count == kColumnBlock) {
                       catch_up_columns(part, scalars, args, {column, block, offset}, kColumnBlock);
                     } else {
                       catch_up_columns(part, scalars, args, {column, block, offset}, count);
                     }
                   });
  });
  if (!pass.last) return;
  arena.last_step[slot] = static_cast<std::uint32_t>(args.target_step);
  arena.moment_lag[slot] = lag + static_cast<std::uint32_t>(args.target_step - l);
}

template <typename Value, typename Moment>
void catch_up_part(const PartCatchUp& pass, const RowId* rows, const SlotId* slots,
                   std::int64_t count, const std::uint32_t* order, ScalarCache* caches) {
  const RowArena& arena = pass.arena;
  for (int i = 0; i < thread_slots(); ++i) caches[i].clear();
  parallel_chunks(count, kUpdateBatch, [&](std::int64_t begin, std::int64_t end) {
    ScalarCache& cache = caches[thread_slot()];
    for (std::int64_t at = begin; at < end; ++at) {
      __builtin_prefetch(&arena.last_step[slots[order[at]]], 1);
      __builtin_prefetch(&arena.moment_lag[slots[order[at]]], 1);
      __builtin_prefetch(&rows[order[at]]);
    }
    for (std::int64_t at = begin; at < end; ++at) {
      const std::int64_t coming = std::min(at + kUpdateRowsAhead, end - 1);
      catch_up_row(pass, rows[order[at]], slots[order[at]],
                   ComingRow<Value, Moment>(pass.part, slots[order[coming]]), cache);
    }
  });
}

}  // namespace

void CpuBackend::catch_up_rows(Stream& stream, const RowArena& arena, const RowId* rows,
                               const SlotId* slots, std::int64_t count, const CatchUpArgs& args) {
  if (args.kind != RowOptimizerKind::kAdamW) return;
  check_catch_up(arena, args);
  on(stream).enqueue([=](Scratch& scratch) {
    const std::uint32_t* order = order_by_slot(slots, count, scratch);
    auto* caches = scratch.take<ScalarCache>(thread_slots());
    for (int i = 0; i < arena.layout.part_count; ++i) {
      const PartCatchUp pass{arena, ArenaPart(arena, i), i + 1 == arena.layout.part_count, args};
      with_float_type(pass.part.layout.value_type, [&](auto value_type) {
        with_float_type(pass.part.layout.moment_type, [&](auto moment_type) {
          catch_up_part<decltype(value_type), decltype(moment_type)>(pass, rows, slots, count,
                                                                     order, caches);
        });
      });
    }
  });
}

}  // namespace mneme::kernels::cpu
