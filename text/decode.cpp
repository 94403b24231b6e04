#include "io/error.h"
#include "io/utf8.h"
#include "text/tokenizer.h"

namespace mneme::text {
namespace {

bool is_special(const Tokenizer& tokenizer, std::int32_t token) {
  for (const SpecialToken& special : tokenizer.special_tokens()) {
    if (special.id == token) return true;
  }
  return false;
}

// Appends the bytes of a token. `is_first` says whether the text begins with it, and is cleared.
void append_token(const Tokenizer& tokenizer, std::int32_t token, bool with_special, bool& is_first,
                  std::string& out) {
  if (!with_special && is_special(tokenizer, token)) return;
  std::string_view bytes = tokenizer.token_bytes(token);
  if (is_first && tokenizer.drops_first_space() && bytes.starts_with(' ')) bytes.remove_prefix(1);
  is_first = false;
  out += bytes;
}

}  // namespace

std::string decode(const Tokenizer& tokenizer, std::span<const std::int32_t> tokens,
                   bool with_special) {
  std::string bytes;
  bool is_first = true;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= tokenizer.vocabulary()) {
      io::fail("token {} (number {}) is outside the tokenizer's vocabulary of {}", tokens[i], i + 1,
               tokenizer.vocabulary());
    }
    append_token(tokenizer, tokens[i], with_special, is_first, bytes);
  }
  std::string text;
  io::append_valid_utf8(bytes, text);
  return text;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool with_special)
    : tokenizer_(&tokenizer), with_special_(with_special) {}

std::string StreamDecoder::add(std::int32_t token) {
  if (token < 0 || token >= tokenizer_->vocabulary()) {
    io::fail("token {} is outside the tokenizer's vocabulary of {}", token,
             tokenizer_->vocabulary());
  }
  append_token(*tokenizer_, token, with_special_, is_first_, pending_);
  const std::size_t whole = pending_.size() - io::incomplete_utf8(pending_);
  std::string text;
  io::append_valid_utf8(std::string_view(pending_).substr(0, whole), text);
  pending_.erase(0, whole);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  io::append_valid_utf8(pending_, text);
  pending_.clear();
  return text;
}

}  // namespace mneme::text
