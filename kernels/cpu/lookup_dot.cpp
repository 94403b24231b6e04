// Operation lookup_dot of the CPU backend: the gradient of each lookup's weight.
#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/token_range.h"
#include "kernels/cpu/weighted_sum.h"

namespace mneme::kernels::cpu {
namespace {

constexpr int kDottedRowsAhead = 24;

// Four running sums of 16 lanes each, added up as a tree, then the columns that are left over: an
// order that depends on the width alone.
template <typename Value>
MNEME_INLINE float dot_row(const float* x, const Value* row, std::int64_t width) {
  Lanes sums[4] = {};
  std::int64_t column = 0;
  for (; column + 4 * kLanes <= width; column += 4 * kLanes) {
#pragma GCC unroll 4
    for (int b = 0; b < 4; ++b) {
      Lanes a, v;
      load_lanes(x + column + b * kLanes, a);
      load_lanes(row + column + b * kLanes, v);
      sums[b] += a * v;
    }
  }
  for (; column + kLanes <= width; column += kLanes) {
    Lanes a, v;
    load_lanes(x + column, a);
    load_lanes(row + column, v);
    sums[0] += a * v;
  }
  float sum = add_up_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; column < width; ++column) {
    sum = fused_multiply_add(x[column], load_scalar(row + column), sum);
  }
  return sum;
}

// The rows of a batch against one token's gradient.
template <typename Value>
MNEME_INLINE void dot_batch(const WeightedRows<Value>& batch, const std::uint32_t* lookups,
                            const float* d_y, std::int64_t width, float* d_weights) {
  const auto row_bytes = width * static_cast<std::int64_t>(sizeof(Value));
  for (std::int64_t i = 0; i < batch.count; ++i) {
    prefetch_bytes(batch.rows[std::min(i + kDottedRowsAhead, batch.count - 1)], row_bytes);
    d_weights[lookups[i]] = dot_row(d_y, batch.rows[i], width);
  }
}

template <typename Value>
void dot_token(const RowArena& arena, const LookupDotArgs& args, std::int64_t token) {
  const auto width = static_cast<std::int64_t>(arena.layout.width);
  const TokenRange range = token_range(args.grouped, token, args.first, args.count);
  const float* d_y = args.d_y + token * width;
  float* d_weights = args.d_weights;
  WeightedRows<Value> batch;
  for (const std::uint32_t* next = range.begin; next != range.end; next += batch.count) {
    batch.count = std::min<std::int64_t>(batch.kCapacity, range.end - next);
    for (std::int64_t i = 0; i < batch.count; ++i) {
      const SlotId slot = args.slots[args.grouped.unique_index[next[i]] - args.first];
      batch.rows[i] = row_of<const Value>(arena.values, slot, width);
    }
    vectorised([&batch, next, d_y, width, d_weights]()
                   MNEME_VECTORISE { dot_batch(batch, next, d_y, width, d_weights); });
  }
}

// Without token_order: each row against the gradients of the tokens that looked it up.
template <typename Value>
void dot_rows(const RowArena& arena, const LookupDotArgs& args, std::int64_t begin,
              std::int64_t end) {
  const auto width = static_cast<std::int64_t>(arena.layout.width);
  vectorised([=]() MNEME_VECTORISE {
    for (std::int64_t i = begin; i < end; ++i) {
      const Value* row = row_of<const Value>(arena.values, args.slots[i], width);
      const std::uint32_t last = args.grouped.offsets[args.first + i + 1];
      for (std::uint32_t at = args.grouped.offsets[args.first + i]; at < last; ++at) {
        const std::uint32_t lookup = args.grouped.order[at];
        const float* d_y = args.d_y + lookup / args.grouped.lookups_per_token * width;
        args.d_weights[lookup] = dot_row(d_y, row, width);
      }
    }
  });
}

}  // namespace

void CpuBackend::lookup_dot(Stream& stream, const RowArena& arena, const LookupDotArgs& args) {
  CHECK(arena.layout.width >= 1 && arena.values != nullptr);
  CHECK(args.grouped.lookups_per_token >= 1 && args.first >= 0 && args.count >= 0);
  on(stream).enqueue([=](Scratch&) {
    if (args.count == 0) return;
    with_float_type(arena.layout.value_type, [&](auto type) {
      using Value = decltype(type);
      if (args.grouped.token_order != nullptr) {
        parallel_tasks(args.grouped.lookups / args.grouped.lookups_per_token,
                       [&](std::int64_t token) { dot_token<Value>(arena, args, token); });
      } else {
        const auto row_bytes = static_cast<std::int64_t>(arena.layout.value_bytes());
        parallel_chunks(args.count, rows_per_chunk(row_bytes),
                        [&](std::int64_t begin, std::int64_t end) {
                          dot_rows<Value>(arena, args, begin, end);
                        });
      }
    });
  });
}

}  // namespace mneme::kernels::cpu
