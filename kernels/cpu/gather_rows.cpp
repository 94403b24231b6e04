// Operation gather_rows of the CPU backend: each token's weighted sum of rows.
#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/token_range.h"
#include "kernels/cpu/weighted_sum.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cpu {
namespace {

// How many rows early a row is asked for; the first ones all at once.
constexpr int kGatheredRowsAhead = 4;

template <int kWide, typename Value>
void gather_token(const ArenaPart& part, const GatherArgs& args, std::int64_t token) {
  const std::int64_t width = part.width();
  float* y = args.y + token * width;
  const TokenRange range = token_range(args.grouped, token, args.first, args.count);
  WeightedRows<Value> batch;
  for (const std::uint32_t* next = range.begin; next != range.end;) {
    const std::int64_t count = std::min<std::int64_t>(batch.kCapacity, range.end - next);
    for (std::int64_t i = 0; i < count; ++i, ++next) {
      const SlotId slot = args.slots[args.grouped.unique_index[*next] - args.first];
      batch.rows[i] = row_of<const Value>(part.arrays.values, slot, width);
      if (i < kGatheredRowsAhead) {
        prefetch_bytes(batch.rows[i], width * std::int64_t{sizeof(Value)});
      }
      batch.weights[i] = args.weights[*next];
    }
    batch.count = count;
    vectorised([&batch, width, y]() MNEME_VECTORISE {
      add_weighted_rows<kWide, kGatheredRowsAhead>(batch, width, y);
    });
  }
}

}  // namespace

void CpuBackend::gather_rows(Stream& stream, const RowArena& arena, const GatherArgs& args) {
  check_part(arena, args.part);
  CHECK(args.grouped.token_order != nullptr && args.grouped.lookups_per_token >= 1);
  CHECK(args.first >= 0 && args.count >= 0);
  const ArenaPart part(arena, args.part);
  on(stream).enqueue([=](Scratch&) {
    if (args.count == 0) return;
    const std::int64_t tokens = args.grouped.lookups / args.grouped.lookups_per_token;
    with_float_type(part.layout.value_type, [&](auto type) {
      using Value = decltype(type);
      with_register_blocks([&](auto wide) {
        parallel_tasks(tokens, [&](std::int64_t token) {
          gather_token<decltype(wide)::value, Value>(part, args, token);
        });
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
