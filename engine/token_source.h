// Tokens of training or validation data by position: text as bytes, or files of tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/data_files.h"
#include "engine/data_split.h"
#include "engine/manifest.h"

namespace mneme::engine {

class TokenSource {
 public:
  virtual ~TokenSource() = default;
  virtual bool is_text() const = 0;
  virtual std::uint64_t tokens() const = 0;
  // Valid as long as the source.
  virtual SplitSource split_source() const = 0;
  // The tokens from `first` on. REQUIRES first + out.size() <= tokens(), within one part. Throws
  // Error naming the file for a token outside the vocabulary, and for one that has become
  // shorter.
  virtual void read(std::uint64_t first, std::span<std::int32_t> out) const = 0;
  // Adds the first `limit` tokens at most to a histogram.
  virtual void count(std::uint64_t limit, std::vector<std::uint64_t>& histogram) const = 0;
  // As Data::fingerprint says.
  virtual DataFingerprint fingerprint() const = 0;
};

// Reads text into memory; opens files of tokens. Warns of files that are left out. Throws Error
// naming the key and the file.
std::unique_ptr<TokenSource> open_tokens(const DataPlace& place);

}  // namespace mneme::engine
