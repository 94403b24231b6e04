// Operation lookup_dot of the CPU backend: the gradient of each lookup's weight.
#include "io/check.h"
#include "kernels/cpu/column_groups.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/token_range.h"
#include "kernels/cpu/weighted_sum.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cpu {
namespace {

// How many rows early a row is asked for; the first ones all at once.
constexpr int kDottedRowsAhead = 8;

template <typename Value>
MNEME_INLINE float dot_row(const float* x, const Value* row, const Value* coming,
                           const ColumnRange& columns) {
  float sums[kMostGroups];
  sum_groups(columns, DotTerms<Value>{x, row, coming}, sums);
  return tree_sum(sums, static_cast<int>(columns.groups()));
}

// The rows of a batch against one token's gradient.
template <typename Value>
MNEME_INLINE void dot_batch(const WeightedRows<Value>& batch, const std::uint32_t* lookups,
                            const float* d_y, const ColumnRange& columns, float* d_weights) {
  for (std::int64_t i = 0; i < batch.count; ++i) {
    const Value* coming = batch.rows[std::min(i + kDottedRowsAhead, batch.count - 1)];
    d_weights[lookups[i]] = dot_row(d_y, batch.rows[i], coming, columns);
  }
}

template <typename Value>
void dot_token(const ArenaPart& part, const LookupDotArgs& args, std::int64_t token) {
  const ColumnRange columns = part.layout.columns;
  const std::int64_t width = part.width();
  const TokenRange range = token_range(args.grouped, token, args.first, args.count);
  const float* d_y = args.d_y + token * width;
  float* d_weights = args.d_weights;
  WeightedRows<Value> batch;
  for (const std::uint32_t* next = range.begin; next != range.end; next += batch.count) {
    batch.count = std::min<std::int64_t>(batch.kCapacity, range.end - next);
    for (std::int64_t i = 0; i < batch.count; ++i) {
      const SlotId slot = args.slots[args.grouped.unique_index[next[i]] - args.first];
      batch.rows[i] = row_of<const Value>(part.arrays.values, slot, width);
      if (i < kDottedRowsAhead) prefetch_bytes(batch.rows[i], width * std::int64_t{sizeof(Value)});
    }
    vectorised([&batch, next, d_y, columns, d_weights]()
                   MNEME_VECTORISE { dot_batch(batch, next, d_y, columns, d_weights); });
  }
}

// Without token_order: each row against the gradients of the tokens that looked it up.
template <typename Value>
void dot_rows(const ArenaPart& part, const LookupDotArgs& args, std::int64_t begin,
              std::int64_t end) {
  const ColumnRange columns = part.layout.columns;
  const std::int64_t width = part.width();
  vectorised([=]() MNEME_VECTORISE {
    for (std::int64_t i = begin; i < end; ++i) {
      const Value* row = row_of<const Value>(part.arrays.values, args.slots[i], width);
      const std::uint32_t last = args.grouped.offsets[args.first + i + 1];
      for (std::uint32_t at = args.grouped.offsets[args.first + i]; at < last; ++at) {
        const std::uint32_t lookup = args.grouped.order[at];
        const float* d_y = args.d_y + lookup / args.grouped.lookups_per_token * width;
        args.d_weights[lookup] = dot_row(d_y, row, row, columns);
      }
    }
  });
}

}  // namespace

void CpuBackend::lookup_dot(Stream& stream, const RowArena& arena, const LookupDotArgs& args) {
  check_part(arena, args.part);
  CHECK(args.grouped.lookups_per_token >= 1 && args.first >= 0 && args.count >= 0);
  const ArenaPart part(arena, args.part);
  on(stream).enqueue([=](Scratch&) {
    if (args.count == 0) return;
    with_float_type(part.layout.value_type, [&](auto type) {
      using Value = decltype(type);
      if (args.grouped.token_order != nullptr) {
        parallel_tasks(args.grouped.lookups / args.grouped.lookups_per_token,
                       [&](std::int64_t token) { dot_token<Value>(part, args, token); });
      } else {
        const auto row_bytes = static_cast<std::int64_t>(part.layout.value_bytes());
        parallel_chunks(
            args.count, rows_per_chunk(row_bytes),
            [&](std::int64_t begin, std::int64_t end) { dot_rows<Value>(part, args, begin, end); });
      }
    });
  });
}

}  // namespace mneme::kernels::cpu
