// Tokens that each expert of a mixture has worked on in training.
#pragma once

#include <cstdint>
#include <vector>

namespace mneme::engine {

struct ExpertCounts {
  std::int64_t block = 0;
  std::vector<std::uint64_t> tokens;  // [experts]
};

}  // namespace mneme::engine
