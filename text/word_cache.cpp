#include "text/word_cache.h"

#include <algorithm>
#include <cstring>

#include "io/checksum.h"

namespace mneme::text {

std::size_t WordCache::place_of(std::string_view word) {
  return static_cast<std::size_t>(io::checksum64(std::as_bytes(std::span(word)))) % kEntries;
}

std::span<const std::int32_t> WordCache::find(std::string_view word) const {
  if (word.size() > kLongestWord) return {};
  const Entry& entry = entries_[place_of(word)];
  if (entry.tokens == 0 || entry.word_bytes != word.size() ||
      std::memcmp(entry.word, word.data(), word.size()) != 0) {
    return {};
  }
  return {entry.token, entry.tokens};
}

void WordCache::put(std::string_view word, std::span<const std::int32_t> tokens) {
  if (word.size() > kLongestWord || tokens.size() > kMostTokens) return;
  Entry& entry = entries_[place_of(word)];
  entry.word_bytes = static_cast<std::uint8_t>(word.size());
  entry.tokens = static_cast<std::uint8_t>(tokens.size());
  std::ranges::copy(word, entry.word);
  std::ranges::copy(tokens, entry.token);
}

}  // namespace mneme::text
