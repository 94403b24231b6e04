#include "engine/block_kinds.h"

#include <charconv>
#include <optional>

#include "io/check.h"
#include "io/error.h"
#include "io/utf8.h"

namespace mneme::engine {
namespace {

// Cuts `text` off up to the first of `ends`, and that itself; all of it where there is none.
std::string_view take_until(std::string_view& text, std::string_view ends) {
  const std::size_t end = text.find_first_of(ends);
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  return taken;
}

std::int64_t number(std::string_view text, std::string_view whole) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 ||
      value >= BlockKinds::kMostBlocks) {
    io::fail("\"{}\" names no blocks; write numbers below {} or ranges, as in 0,4-7 or 1-11/2",
             whole, BlockKinds::kMostBlocks);
  }
  return value;
}

// "4", "4-7" or "1-11/2".
std::vector<std::int64_t> parse_range(std::string_view text) {
  std::string_view left = text;
  const std::string_view numbers = take_until(left, "/");
  const bool has_step = numbers.size() < text.size();
  const std::int64_t step = has_step ? number(left, text) : 1;
  left = numbers;
  const std::string_view first_text = take_until(left, "-");
  const std::int64_t first = number(first_text, text);
  const bool is_range = first_text.size() < numbers.size();
  const std::int64_t last = is_range ? number(left, text) : first;
  if (last < first || step < 1 || (has_step && !is_range)) {
    io::fail("\"{}\" is no range of blocks; write the lower one first, as in 4-7 or 1-11/2", text);
  }
  std::vector<std::int64_t> blocks;
  for (std::int64_t block = first; block <= last; block += step) blocks.push_back(block);
  return blocks;
}

// "6,12,16-18": runs of three and more as ranges.
std::string blocks_text(const std::vector<std::int64_t>& blocks) {
  std::string text;
  for (std::size_t i = 0; i < blocks.size();) {
    std::size_t end = i + 1;
    while (end < blocks.size() && blocks[end] == blocks[end - 1] + 1) ++end;
    if (!text.empty()) text += ",";
    text += fmt::format("{}", blocks[i]);
    if (end - i >= 3) {
      text += fmt::format("-{}", blocks[end - 1]);
      i = end;
    } else {
      ++i;
    }
  }
  return text;
}

}  // namespace

BlockKinds BlockKinds::parse(std::string_view text) {
  BlockKinds kinds;
  bool is_empty = true;
  for (std::string_view left = text; !left.empty();) {
    const std::string_view word = take_until(left, " \t;");
    if (word.empty()) continue;
    is_empty = false;
    std::string_view blocks = word;
    const std::string_view name = take_until(blocks, "@");
    const auto kind = io::value_named<FeedForwardKind>(name);
    const bool names_blocks = name.size() < word.size();
    if (!kind || (!names_blocks && *kind != FeedForwardKind::kDense)) {
      io::fail(
          "\"{}\" is no kind of feed-forward and its blocks; write dense, or as in memory@6,12",
          io::printable(word));
    }
    if (!names_blocks) continue;  // what is not named is dense
    if (blocks.empty() || blocks.back() == ',') {
      io::fail("\"{}\" lacks a block; name them by number, as in memory@6,12", word);
    }
    while (!blocks.empty()) {
      for (const std::int64_t block : parse_range(take_until(blocks, ","))) {
        if (kinds.of(block) != FeedForwardKind::kDense) {
          io::fail("block {} is named twice", block);
        }
        kinds.set(*kind, {block});
      }
    }
  }
  if (is_empty) io::fail("it is empty; write dense, or as in memory@6,12");
  return kinds;
}

std::string BlockKinds::text() const {
  std::string text;
  for (const auto& name : enum_names(FeedForwardKind{})) {
    const std::vector<std::int64_t> blocks = blocks_of(name.value);
    if (blocks.empty()) continue;
    if (!text.empty()) text += " ";
    text += name.name;
    text += "@";
    text += blocks_text(blocks);
  }
  return text.empty() ? "dense" : text;
}

FeedForwardKind BlockKinds::of(std::int64_t block) const {
  const auto found = kinds_.find(block);
  return found == kinds_.end() ? FeedForwardKind::kDense : found->second;
}

void BlockKinds::set(FeedForwardKind kind, const std::vector<std::int64_t>& blocks) {
  for (const std::int64_t block : blocks) {
    CHECK(block >= 0 && block < kMostBlocks);
    if (kind == FeedForwardKind::kDense) {
      kinds_.erase(block);
    } else {
      kinds_[block] = kind;
    }
  }
}

std::vector<std::int64_t> BlockKinds::blocks_of(FeedForwardKind kind) const {
  std::vector<std::int64_t> blocks;
  for (const auto& [block, its] : kinds_) {
    if (its == kind) blocks.push_back(block);
  }
  return blocks;
}

std::vector<std::int64_t> BlockKinds::table_blocks() const {
  std::vector<std::int64_t> blocks;
  for (const auto& [block, kind] : kinds_) {
    if (kind == FeedForwardKind::kMemory || kind == FeedForwardKind::kPeer) blocks.push_back(block);
  }
  return blocks;
}

}  // namespace mneme::engine
