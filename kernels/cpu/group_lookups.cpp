// Operation group_lookups of the CPU backend: sort the lookups by row, find the distinct rows, and
// order each token's lookups likewise.
#include <algorithm>
#include <bit>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/radix_sort.h"
#include "kernels/cpu/thrust_policy.h"

namespace mneme::kernels::cpu {
namespace {

// A token's lookups sorted by row come from sorting (unique index, position) as one number.
void order_tokens(const GroupedLookups& grouped, std::uint64_t* keys, std::int64_t first_token,
                  std::int64_t last_token) {
  const std::int64_t width = grouped.lookups_per_token;
  for (std::int64_t token = first_token; token < last_token; ++token) {
    const auto base = static_cast<std::uint32_t>(token * width);
    for (std::uint32_t j = 0; j < width; ++j) {
      keys[j] = std::uint64_t{grouped.unique_index[base + j]} << 32 | (base + j);
    }
    std::sort(keys, keys + width);
    for (std::uint32_t j = 0; j < width; ++j) {
      grouped.token_order[base + j] = static_cast<std::uint32_t>(keys[j]);
    }
  }
}

void group(const GroupedLookups& grouped, Scratch& scratch) {
  const std::int64_t count = grouped.lookups;
  if (count == 0) {
    grouped.offsets[0] = 0;
    *grouped.count = 0;
    return;
  }
  RowId* keys = scratch.take<RowId>(count);
  std::uint32_t* run = scratch.take<std::uint32_t>(count);
  sort_keys(grouped.rows, count, std::bit_width(grouped.table_rows - 1), keys, grouped.order,
            scratch);
  algorithms::group_sorted(kPolicy, grouped, keys, run);

  if (grouped.token_order == nullptr) return;
  const std::int64_t width = grouped.lookups_per_token;
  auto* token_keys = scratch.take<std::uint64_t>(thread_slots() * width);
  parallel_chunks(count / width, std::max<std::int64_t>(1, 2048 / width),
                  [=](std::int64_t begin, std::int64_t end) {
                    order_tokens(grouped, token_keys + thread_slot() * width, begin, end);
                  });
}

}  // namespace

void CpuBackend::group_lookups(Stream& stream, const GroupedLookups& grouped) {
  CHECK(grouped.lookups >= 0 && grouped.lookups < (std::int64_t{1} << 32));
  CHECK(grouped.lookups_per_token >= 1 && grouped.lookups % grouped.lookups_per_token == 0);
  CHECK(grouped.unique_rows != nullptr && grouped.offsets != nullptr && grouped.order != nullptr &&
        grouped.unique_index != nullptr && grouped.count != nullptr);
  on(stream).enqueue([grouped](Scratch& scratch) { group(grouped, scratch); });
}

}  // namespace mneme::kernels::cpu
