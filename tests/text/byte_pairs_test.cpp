// Byte-pair encoding: the lowest rank first, the leftmost of equal ones, the same for short pieces
// and long ones; the characters that bytes are written as; the cache of words.
#include "text/byte_pairs.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <utility>

#include "text/byte_alphabet.h"
#include "text/word_cache.h"

namespace mneme::text {
namespace {

using Ids = std::vector<std::int32_t>;
using Merge = BytePairs::Merge;

std::array<std::int32_t, 256> all_bytes() {
  std::array<std::int32_t, 256> tokens;
  for (std::int32_t byte = 0; byte < 256; ++byte) tokens[static_cast<std::size_t>(byte)] = byte;
  return tokens;
}

Ids encoded(const BytePairs& pairs, std::string_view piece) {
  BytePairs::Scratch scratch;
  Ids ids;
  pairs.encode(piece, scratch, ids);
  return ids;
}

// One merge after the other, by the definition.
Ids by_definition(const std::vector<Merge>& merges, std::string_view piece) {
  Ids ids(piece.begin(), piece.end());
  while (true) {
    const Merge* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      for (const Merge& merge : merges) {
        if (merge.left == ids[i] && merge.right == ids[i + 1] &&
            (!best || merge.rank < best->rank)) {
          best = &merge;
          at = i;
        }
      }
    }
    if (!best) return ids;
    ids[at] = best->merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(BytePairs, TheLowestRankIsFirst) {
  const std::vector<Merge> merges = {{'b', 'c', 0, 300}, {'a', 'b', 1, 301}, {'a', 300, 2, 302}};
  EXPECT_EQ(encoded(BytePairs(merges, all_bytes()), "abc"), (Ids{302}));
  EXPECT_EQ(encoded(BytePairs(merges, all_bytes()), "abab"), (Ids{301, 301}));
}

TEST(BytePairs, TheLeftmostOfEqualRanksIsFirst) {
  const std::vector<Merge> merges = {{'a', 'a', 0, 300}};
  EXPECT_EQ(encoded(BytePairs(merges, all_bytes()), "aaaaa"), (Ids{300, 300, 'a'}));
  // Different pairs of one rank, as tiktoken files have them.
  const std::vector<Merge> equal = {{'b', 'c', 5, 300}, {'a', 'b', 5, 301}};
  EXPECT_EQ(encoded(BytePairs(equal, all_bytes()), "abc"), (Ids{301, 'c'}));
}

TEST(BytePairs, OfTwoMergesOfAPairTheLaterOneCounts) {
  const std::vector<Merge> merges = {{'a', 'b', 0, 300}, {'b', 'c', 1, 301}, {'a', 'b', 2, 302}};
  EXPECT_EQ(encoded(BytePairs(merges, all_bytes()), "abc"), (Ids{'a', 301}));
  EXPECT_EQ(encoded(BytePairs(merges, all_bytes()), "ab"), (Ids{302}));
}

TEST(BytePairs, BytesWithoutATokenAreLeftOut) {
  std::array<std::int32_t, 256> tokens = all_bytes();
  tokens['x'] = BytePairs::kNothing;
  const std::vector<Merge> merges = {{'a', 'b', 0, 300}};
  EXPECT_EQ(encoded(BytePairs(merges, tokens), "axbx"), (Ids{300}));
  EXPECT_EQ(encoded(BytePairs(merges, tokens), "xx"), Ids{});
  EXPECT_EQ(encoded(BytePairs(merges, tokens), ""), Ids{});
}

TEST(BytePairs, PiecesOfEveryLengthFollowTheDefinition) {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    std::vector<Merge> merges;
    Ids tokens = {'a', 'b', 'c'};
    std::map<std::pair<std::int32_t, std::int32_t>, bool> is_there;
    for (std::int32_t id = 300; id < 330; ++id) {
      const std::int32_t left = tokens[random() % tokens.size()];
      const std::int32_t right = tokens[random() % tokens.size()];
      if (!is_there.try_emplace({left, right}, true).second) continue;
      // Ranks that are equal now and then.
      merges.push_back({left, right, static_cast<std::int32_t>(random() % 20), id});
      tokens.push_back(id);
    }
    const BytePairs pairs(merges, all_bytes());
    for (const std::size_t length : {1, 2, 3, 10, 47, 48, 49, 50, 100, 200}) {
      std::string piece;
      for (std::size_t i = 0; i < length; ++i) piece += static_cast<char>('a' + random() % 3);
      EXPECT_EQ(encoded(pairs, piece), by_definition(merges, piece)) << piece;
    }
  }
}

TEST(BytePairs, LongPiecesTakeNoSquareOfTheirLength) {
  const std::vector<Merge> merges = {{'a', 'a', 0, 300}, {300, 300, 1, 301}, {301, 301, 2, 302}};
  const std::string piece(std::size_t{1} << 20, 'a');
  EXPECT_EQ(encoded(BytePairs(merges, all_bytes()), piece), Ids(piece.size() / 8, 302));
}

TEST(ByteAlphabet, EveryByteHasACharacterOfItsOwn) {
  const auto& characters = byte_characters();
  EXPECT_EQ(characters['a'], "a");
  EXPECT_EQ(characters[' '], "\u0120");
  EXPECT_EQ(characters['\n'], "\u010a");
  EXPECT_EQ(characters[0], "\u0100");
  EXPECT_EQ(characters[0xad], "\u0143");
  EXPECT_EQ(characters[0xff], "\u00ff");
  std::string written, bytes;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    written += characters[byte];
    bytes += static_cast<char>(byte);
    EXPECT_EQ(bytes_of_characters(characters[byte]), bytes.substr(byte));
  }
  EXPECT_EQ(bytes_of_characters(written), bytes);
}

TEST(ByteAlphabet, OtherCharactersStandForNoBytes) {
  for (const std::string written : {" ", "\n", "\u00ad", "\u0144", "\u0200", "\u4e2d", "a\u4e2d",
                                    "\U0001f600", "\xc3", "\xff", "\xc0\x80"}) {
    EXPECT_EQ(bytes_of_characters(written), std::nullopt) << written;
  }
}

TEST(WordCache, KeepsWordsUntilAnotherTakesTheirPlace) {
  WordCache cache;
  EXPECT_TRUE(cache.find("word").empty());
  const Ids ids = {1, 2, 3};
  cache.put("word", ids);
  const auto found = cache.find("word");
  EXPECT_EQ(Ids(found.begin(), found.end()), ids);
  EXPECT_TRUE(cache.find("wor").empty());
  for (int i = 0; i < 200'000; ++i) {
    const std::string word = std::to_string(i) + "w";
    cache.put(word, Ids{i});
    ASSERT_EQ(cache.find(word)[0], i);
  }
}

TEST(WordCache, LongWordsAndManyTokensAreNotKept) {
  WordCache cache;
  const std::string longest(WordCache::kLongestWord, 'a'), longer = longest + "a";
  cache.put(longest, Ids{1});
  cache.put(longer, Ids{2});
  cache.put("many", Ids(9, 3));
  EXPECT_EQ(cache.find(longest).size(), 1u);
  EXPECT_TRUE(cache.find(longer).empty());
  EXPECT_TRUE(cache.find("many").empty());
}

}  // namespace
}  // namespace mneme::text
