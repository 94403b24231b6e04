#include "io/token_file.h"

#include <algorithm>
#include <array>

#include "io/check.h"
#include "io/error.h"
#include "io/llm_c_layout.h"
#include "io/nanogpt_layout.h"

namespace mneme::io {
TokenFile::TokenFile(const std::string& path, TokenLayout layout) : file_(path) {
  read_as(layout);
}

void TokenFile::read_as(TokenLayout layout) {
  switch (layout) {
    case TokenLayout::kLlmC: {
      const LlmCTokens tokens = read_llm_c_header(file_);
      type_ = tokens.type;
      count_ = tokens.count;
      begin_ = sizeof(LlmCHeader);
      return;
    }
    case TokenLayout::kNanogpt:
      count_ = count_nanogpt_tokens(file_);
      return;
    case TokenLayout::kMegatron:
      index_.emplace(file_.path(), file_.size_bytes());
      type_ = index_->type();
      count_ = index_->token_count();
      return;
  }
  CHECK(false, "no such layout");
}

void TokenFile::read(std::uint64_t first, std::span<std::int32_t> out) const {
  CHECK(first <= count_ && out.size() <= count_ - first);
  const auto bytes = static_cast<std::size_t>(token_bytes());
  std::array<std::byte, std::size_t{1} << 16> block;
  while (!out.empty()) {
    const std::size_t tokens = std::min(out.size(), block.size() / bytes);
    const auto stored = std::span(block).first(tokens * bytes);
    read_stored(first, stored);
    const std::size_t wrong = ids_of_stored(type_, stored, out.first(tokens));
    if (wrong != kAllTokens) {
      fail("{}: token {} at position {} is negative or beyond int32; the file is damaged", path(),
           number_of_stored(type_, stored.data() + wrong * bytes), first + wrong);
    }
    out = out.subspan(tokens);
    first += tokens;
  }
}

void TokenFile::read_stored(std::uint64_t first, std::span<std::byte> out) const {
  const auto bytes = static_cast<std::uint64_t>(token_bytes());
  CHECK(first <= count_ && out.size() <= (count_ - first) * bytes);
  file_.read(begin_ + first * bytes, out);
}

std::vector<std::uint64_t> TokenFile::document_ends(std::size_t most) const {
  if (!index_) return {};
  return index_->document_ends(most);
}

}  // namespace mneme::io
