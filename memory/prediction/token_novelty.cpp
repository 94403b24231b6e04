#include "memory/prediction/token_novelty.h"

#include <algorithm>
#include <numeric>

#include "io/check.h"
#include "memory/prediction/row_history.h"

namespace mneme::memory {
namespace {

constexpr std::uint32_t kContexts = 1u << 18;
constexpr int kContextTokens = 3;

}  // namespace

TokenNovelty::TokenNovelty(std::int64_t sequence) : sequence_(sequence), seen_(kContexts) {}

std::vector<std::int32_t> TokenNovelty::take(std::span<const std::int32_t> tokens,
                                             std::size_t count) {
  CHECK(count <= tokens.size());
  contexts_.resize(tokens.size());
  contexts_of(tokens, sequence_, kContextTokens, kContexts, contexts_);
  std::vector<std::int32_t> indices(tokens.size());
  std::iota(indices.begin(), indices.end(), 0);
  const auto key = [&](std::int32_t i) {
    return std::pair(seen_[contexts_[static_cast<std::size_t>(i)]], i);
  };
  const auto last = indices.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(indices.begin(), last, indices.end(),
                   [&](std::int32_t a, std::int32_t b) { return key(a) < key(b); });
  indices.erase(last, indices.end());
  std::sort(indices.begin(), indices.end());
  ++batches_;
  for (const std::uint32_t context : contexts_) seen_[context] = batches_;
  return indices;
}

}  // namespace mneme::memory
