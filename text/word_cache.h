// Tokens of words that were encoded before: most words of a text are among a few thousand.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::text {

// Bounded: a word takes the place of another one. For one thread.
class WordCache {
 public:
  // Longer words are not kept.
  static constexpr std::size_t kLongestWord = 24;

  WordCache() : entries_(kEntries) {}

  // The word's tokens, or none where they are not known.
  std::span<const std::int32_t> find(std::string_view word) const;
  // REQUIRES: tokens is not empty.
  void put(std::string_view word, std::span<const std::int32_t> tokens);

 private:
  static constexpr std::size_t kEntries = std::size_t{1} << 16;
  static constexpr std::size_t kMostTokens = 8;
  struct Entry {
    std::uint8_t word_bytes = 0;
    std::uint8_t tokens = 0;  // 0: empty
    char word[kLongestWord];
    std::int32_t token[kMostTokens];
  };
  static std::size_t place_of(std::string_view word);

  std::vector<Entry> entries_;
};

}  // namespace mneme::text
