#include "engine/token_source.h"

#include <algorithm>
#include <utility>

#include "io/checksum.h"
#include "io/error.h"
#include "io/log.h"
#include "io/progress.h"
#include "io/text_source.h"
#include "io/token_shards.h"

namespace mneme::engine {
namespace {

// The bytes that a fingerprint reads.
constexpr std::uint64_t kFingerprintBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kFingerprintBlock = std::uint64_t{1} << 16;

class Bytes : public TokenSource {
 public:
  explicit Bytes(const DataPlace& place) {
    if (place.vocabulary < 256) {
      io::fail("{} {}: bytes need data.vocabulary = 256, not {}", place.key, place.path,
               place.vocabulary);
    }
    io::TextSourceOptions options;
    options.extensions = place.extensions;
    text_ = io::read_text_source(place.path, options);
  }
  DataFormat format() const override { return DataFormat::kBytes; }
  std::uint64_t tokens() const override { return text_.bytes.size(); }
  SplitSource split_source() const override {
    SplitSource source;
    source.parts = {{0, tokens()}};
    for (const io::TextFile& file : text_.files) source.documents.push_back(file.end);
    source.next_line = [this](std::uint64_t after, std::uint64_t limit) {
      const auto first = text_.bytes.begin() + static_cast<std::ptrdiff_t>(after);
      const auto last =
          text_.bytes.begin() + static_cast<std::ptrdiff_t>(std::min(limit, tokens()));
      const auto found = std::find(first, last, std::byte{'\n'});
      return found == last ? after : after + static_cast<std::uint64_t>(found - first) + 1;
    };
    return source;
  }
  void read(std::uint64_t first, std::span<std::int32_t> out) const override {
    const std::byte* from = text_.bytes.data() + first;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::int32_t>(from[i]);
  }
  void count(std::uint64_t limit, std::vector<std::uint64_t>& histogram) const override {
    const std::uint64_t end = std::min<std::uint64_t>(limit, text_.bytes.size());
    for (std::uint64_t i = 0; i < end; ++i) ++histogram[static_cast<std::size_t>(text_.bytes[i])];
  }
  DataFingerprint fingerprint() const override {
    const io::Phase phase("taking the data's checksum");
    return {tokens(), io::checksum64(std::span<const std::byte>(text_.bytes))};
  }

 private:
  io::TextSource text_;
};

class Shards : public TokenSource {
 public:
  Shards(const std::vector<std::string>& paths, std::int64_t vocabulary) : vocabulary_(vocabulary) {
    for (const std::string& path : paths) {
      shards_.emplace_back(path);
      ends_.push_back(tokens() + shards_.back().token_count());
    }
  }
  DataFormat format() const override { return DataFormat::kShards; }
  std::uint64_t tokens() const override { return ends_.empty() ? 0 : ends_.back(); }
  SplitSource split_source() const override {
    SplitSource source;
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      source.parts.push_back({i == 0 ? 0 : ends_[i - 1], ends_[i]});
    }
    source.documents = ends_;
    source.next_line = [](std::uint64_t after, std::uint64_t) { return after; };
    return source;
  }
  void read(std::uint64_t first, std::span<std::int32_t> out) const override {
    const auto shard =
        static_cast<std::size_t>(std::ranges::upper_bound(ends_, first) - ends_.begin());
    std::vector<std::uint16_t> from(out.size());
    read(shards_[shard], first - (shard == 0 ? 0 : ends_[shard - 1]), from);
    std::ranges::copy(from, out.begin());
  }
  void count(std::uint64_t limit, std::vector<std::uint64_t>& histogram) const override {
    std::vector<std::uint16_t> block(kBlockTokens);
    io::Phase phase("counting the data's tokens", std::min(limit, tokens()), "tokens");
    for (const io::TokenShard& shard : shards_) {
      const std::uint64_t end = std::min(limit, shard.token_count());
      for (std::uint64_t first = 0; first < end; first += block.size()) {
        block.resize(std::min<std::uint64_t>(kBlockTokens, end - first));
        read(shard, first, block);
        for (const std::uint16_t token : block) ++histogram[token];
        phase.add(block.size());
      }
      limit -= end;
    }
  }
  DataFingerprint fingerprint() const override {
    DataFingerprint print;
    print.bytes = sizeof(std::uint16_t) * tokens();
    // Every block, or one of each stretch of blocks.
    const std::uint64_t share = 1 + print.bytes / kFingerprintBytes;
    constexpr std::uint64_t kBlock = kFingerprintBlock / sizeof(std::uint16_t);
    std::vector<std::uint16_t> block(kBlock);
    io::Phase phase("taking the data's checksum", print.bytes / share);
    for (const io::TokenShard& shard : shards_) {
      const std::uint64_t size = shard.token_count();
      print.checksum = io::extend_checksum(print.checksum,
                                           std::as_bytes(std::span<const std::uint64_t>(&size, 1)));
      for (std::uint64_t first = 0; first < size; first += share * kBlock) {
        block.resize(std::min(kBlock, size - first));
        shard.read(first, block);
        print.checksum = io::extend_checksum(print.checksum,
                                             std::as_bytes(std::span<const std::uint16_t>(block)));
        phase.add(std::as_bytes(std::span<const std::uint16_t>(block)).size());
      }
    }
    return print;
  }

 private:
  static constexpr std::size_t kBlockTokens = std::size_t{1} << 16;

  void read(const io::TokenShard& shard, std::uint64_t first, std::span<std::uint16_t> out) const {
    shard.read(first, out);
    for (std::size_t i = 0; i < out.size(); ++i) check(out[i], shard, first + i);
  }
  void check(std::uint16_t token, const io::TokenShard& shard, std::uint64_t position) const {
    if (token >= vocabulary_) [[unlikely]] {
      io::fail("{}: token {} at position {} is outside data.vocabulary {}", shard.path(), token,
               position, vocabulary_);
    }
  }

  std::int64_t vocabulary_;
  std::vector<io::TokenShard> shards_;
  std::vector<std::uint64_t> ends_;  // tokens up to the end of each shard
};

}  // namespace

std::unique_ptr<TokenSource> open_tokens(const DataPlace& place) {
  const DataFiles files = find_data_files(place);
  if (!files.ignored.empty()) {
    io::warn(
        "{} {}: its token shards are read, but not {}; set data.format = \"bytes\" to train on "
        "text instead",
        place.key, place.path, files.ignored);
  }
  if (files.format == DataFormat::kShards) {
    return std::make_unique<Shards>(files.shards, place.vocabulary);
  }
  return std::make_unique<Bytes>(place);
}

}  // namespace mneme::engine
