#include <algorithm>

#include "io/error.h"
#include "io/utf8.h"
#include "text/tokenizer.h"

namespace mneme::text {
namespace {

bool is_special(const Tokenizer& tokenizer, std::int32_t token) {
  return std::ranges::any_of(tokenizer.special_tokens(),
                             [&](const SpecialToken& special) { return special.id == token; });
}

}  // namespace

std::string decode(const Tokenizer& tokenizer, std::span<const std::int32_t> tokens,
                   bool with_special) {
  StreamDecoder decoder(tokenizer, with_special);
  std::string text;
  for (const std::int32_t token : tokens) text += decoder.add(token);
  return text + decoder.finish();
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool with_special)
    : tokenizer_(&tokenizer), rules_(tokenizer.decode_rules()), with_special_(with_special) {}

std::string StreamDecoder::add(std::int32_t token) {
  if (token < 0 || token >= tokenizer_->vocabulary()) {
    io::fail("token {} is outside the tokenizer's vocabulary of {}", token,
             tokenizer_->vocabulary());
  }
  if (!with_special_ && is_special(*tokenizer_, token)) return {};
  std::string_view bytes = tokenizer_->token_bytes(token);
  using FirstSpace = DecodeRules::FirstSpace;
  if (is_first_ && rules_.first_space != FirstSpace::kKept) {
    const bool has_space = tokenizer_->begins_with_space(token);
    if (has_space) bytes.remove_prefix(1);
    is_first_ = bytes.empty() && !(has_space && rules_.first_space == FirstSpace::kOneDropped);
  }
  if (bytes.empty() && rules_.empty_tokens_end_characters) return finish();
  pending_ += bytes;
  return take(pending_.size() - io::incomplete_utf8(pending_));
}

std::string StreamDecoder::finish() {
  return take(pending_.size());
}

std::string StreamDecoder::take(std::size_t bytes) {
  const std::string_view whole = std::string_view(pending_).substr(0, bytes);
  std::string text;
  io::append_valid_utf8(whole, rules_.invalid_bytes, text);
  pending_.erase(0, bytes);
  return text;
}

}  // namespace mneme::text
