#include "io/token_layout.h"

#include "io/error.h"

namespace mneme::io {
namespace {

constexpr std::int64_t kIdsOf16Bits = 65536;
// From here on Megatron-LM writes int32, though uint16 would hold a few more.
constexpr std::int64_t kMegatronWide = 65500;

}  // namespace

int token_bytes_for(TokenLayout layout, std::int64_t vocabulary) {
  if (layout == TokenLayout::kMegatron) return vocabulary < kMegatronWide ? 2 : 4;
  if (vocabulary <= kIdsOf16Bits) return 2;
  if (layout == TokenLayout::kNanogpt) {
    fail("the layout nanogpt has tokens of 16 bits, too few for {} ids; choose llm.c or megatron",
         vocabulary);
  }
  return 4;
}

}  // namespace mneme::io
