// Which of a token's lookups fall into a chunk of the step's distinct rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/row_ops.h"

namespace mneme::kernels::cpu {

struct TokenRange {
  const std::uint32_t* begin;  // lookup indices in the order of grouped.token_order
  const std::uint32_t* end;
};

// REQUIRES grouped.token_order.
inline TokenRange token_range(const GroupedLookups& grouped, std::int64_t token, std::int64_t first,
                              std::int64_t count) {
  const std::uint32_t* begin = grouped.token_order + token * grouped.lookups_per_token;
  const std::uint32_t* end = begin + grouped.lookups_per_token;
  const auto before = [&](std::int64_t index) {
    return std::partition_point(begin, end, [&](std::uint32_t lookup) {
      return static_cast<std::int64_t>(grouped.unique_index[lookup]) < index;
    });
  };
  return {before(first), before(first + count)};
}

}  // namespace mneme::kernels::cpu
