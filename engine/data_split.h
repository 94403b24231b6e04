// Which tokens train and which validate, and the windows that both are cut into.
//
// spread (the default): about share * tokens validate, in blocks of equal length, one in the middle
// of each of as many equal stretches of the data, so that every document gives its share however
// the data is sorted. A block has 4096 tokens, or a sixteenth of the validation part where that is
// less, but at least 4 windows. Its begin and end move to the nearest end of a document (a text
// file, a shard) within a quarter of the block, or else to the next line that begins there. No
// token is in both parts, and no window crosses from one into the other. Data that is too short for
// a window of each is split as with tail.
//
// tail: the last windows validate.
//
// Both are functions of the data, the share and the length of a window alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/config.h"

namespace mneme::engine {

// Tokens [begin, end) of a source.
struct TokenRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - begin; }
  bool operator==(const TokenRange&) const = default;
};

// Windows of `length` + 1 tokens in ranges of a source. Neighbours overlap by one token, so that
// every token of a range but its first is predicted once; what is left at a range's end is not
// used.
class Windows {
 public:
  Windows() = default;
  Windows(std::vector<TokenRange> ranges, std::int64_t length);

  std::uint64_t count() const { return last_.empty() ? 0 : last_.back(); }
  // Of a window's first token. REQUIRES window < count().
  std::uint64_t position(std::uint64_t window) const;
  const std::vector<TokenRange>& ranges() const { return ranges_; }

 private:
  std::vector<TokenRange> ranges_;   // those with a window, ascending
  std::vector<std::uint64_t> last_;  // windows up to and with each range
  std::uint64_t length_ = 1;
};

// What a split has to know of the data.
struct SplitSource {
  std::vector<TokenRange> parts;         // ascending, without gaps; no window crosses from one to
                                         // the next
  std::vector<std::uint64_t> documents;  // where documents end, ascending
  // The first position in (after, limit] where a line begins; `after` itself without one.
  std::function<std::uint64_t(std::uint64_t after, std::uint64_t limit)> next_line;
};

struct DataSplit {
  Windows train;
  Windows validation;  // none with share 0
};

// Either part may be empty where the data is too short.
DataSplit split_data(const SplitSource& source, ValidationSplit kind, double share,
                     std::int64_t length);

}  // namespace mneme::engine
