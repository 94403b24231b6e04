// Which tokens of a batch are new: those whose context, they and the tokens before them, was seen
// longest ago, or never. What such tokens read is what neither histories nor tiers know, so that
// a predictor that cannot look at all tokens looks at these.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mneme::memory {

class TokenNovelty {
 public:
  // sequence: tokens of a sequence. Takes 4 bytes for each of 2^18 contexts.
  explicit TokenNovelty(std::int64_t sequence);

  // The indices of the `count` newest-to-us tokens, ascending; of equally new ones the first. Then
  // all of them have been seen. tokens: whole sequences; count <= tokens.
  std::vector<std::int32_t> take(std::span<const std::int32_t> tokens, std::size_t count);

 private:
  std::int64_t sequence_;
  std::vector<std::uint32_t> seen_;  // by context: the batch that saw it last, 0 for none
  std::uint32_t batches_ = 0;
  std::vector<std::uint32_t> contexts_;
};

}  // namespace mneme::memory
