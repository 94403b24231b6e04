#include "engine/data.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

#include "engine/data_files.h"
#include "io/check.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/log.h"
#include "io/text_source.h"
#include "io/token_shards.h"

namespace mneme::engine {
namespace {

constexpr std::uint64_t kEntropyTokens = std::uint64_t{1} << 26;

// The bytes that a fingerprint reads.
constexpr std::uint64_t kFingerprintBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kFingerprintBlock = std::uint64_t{1} << 16;

// The checksum of a sequence of blocks: that of (the sum so far, the next block's checksum).
std::uint64_t extend_checksum(std::uint64_t sum, std::span<const std::byte> block) {
  const std::uint64_t parts[] = {sum, io::checksum64(block)};
  return io::checksum64(std::as_bytes(std::span(parts)));
}

// A word that depends on every bit of both (the finaliser of SplitMix64).
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a * 0x9e3779b97f4a7c15 + b;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

// Tokens as a sequence of windows of length + 1 tokens.
class Data::Source {
 public:
  virtual ~Source() = default;
  virtual std::uint64_t tokens() const = 0;
  virtual std::uint64_t windows(std::int64_t length) const = 0;
  // Writes the window's tokens and the same shifted by one. tokens, targets: [length].
  virtual void copy(std::uint64_t window, std::int64_t length, std::int32_t* tokens,
                    std::int32_t* targets) const = 0;
  // Adds the first `limit` tokens at most to a histogram.
  virtual void count(std::uint64_t limit, std::vector<std::uint64_t>& histogram) const = 0;
  virtual DataFingerprint fingerprint() const = 0;
};

class Data::Bytes : public Data::Source {
 public:
  explicit Bytes(const DataConfig& config) {
    if (config.vocabulary < 256) {
      io::fail("data.path {}: bytes need data.vocabulary = 256, not {}", config.path,
               config.vocabulary);
    }
    io::TextSourceOptions options;
    options.extensions = config.extensions;
    text_ = io::read_text_source(config.path, options);
  }
  std::uint64_t tokens() const override { return text_.bytes.size(); }
  std::uint64_t windows(std::int64_t length) const override {
    return (tokens() - 1) / static_cast<std::uint64_t>(length);
  }
  void copy(std::uint64_t window, std::int64_t length, std::int32_t* tokens,
            std::int32_t* targets) const override {
    const std::byte* from = text_.bytes.data() + window * static_cast<std::uint64_t>(length);
    for (std::int64_t i = 0; i < length; ++i) {
      tokens[i] = static_cast<std::int32_t>(from[i]);
      targets[i] = static_cast<std::int32_t>(from[i + 1]);
    }
  }
  void count(std::uint64_t limit, std::vector<std::uint64_t>& histogram) const override {
    const std::uint64_t end = std::min<std::uint64_t>(limit, text_.bytes.size());
    for (std::uint64_t i = 0; i < end; ++i) ++histogram[static_cast<std::size_t>(text_.bytes[i])];
  }
  DataFingerprint fingerprint() const override {
    return {tokens(), io::checksum64(std::span<const std::byte>(text_.bytes))};
  }

 private:
  io::TextSource text_;
};

class Data::Shards : public Data::Source {
 public:
  Shards(const std::vector<std::string>& paths, std::int64_t vocabulary) : vocabulary_(vocabulary) {
    for (const std::string& path : paths) shards_.emplace_back(path);
  }
  std::uint64_t tokens() const override {
    std::uint64_t sum = 0;
    for (const io::TokenShard& shard : shards_) sum += shard.token_count();
    return sum;
  }
  std::uint64_t windows(std::int64_t length) const override {
    std::uint64_t sum = 0;
    for (const io::TokenShard& shard : shards_) sum += windows_of(shard, length);
    return sum;
  }
  void copy(std::uint64_t window, std::int64_t length, std::int32_t* tokens,
            std::int32_t* targets) const override {
    auto shard = shards_.begin();
    while (window >= windows_of(*shard, length)) {
      window -= windows_of(*shard, length);
      ++shard;
    }
    const auto size = static_cast<std::size_t>(length);
    std::vector<std::uint16_t> from(size + 1);
    read(*shard, window * size, from);
    std::copy(from.begin(), from.end() - 1, tokens);
    std::copy(from.begin() + 1, from.end(), targets);
  }
  void count(std::uint64_t limit, std::vector<std::uint64_t>& histogram) const override {
    std::vector<std::uint16_t> block(kBlockTokens);
    for (const io::TokenShard& shard : shards_) {
      const std::uint64_t end = std::min(limit, shard.token_count());
      for (std::uint64_t first = 0; first < end; first += block.size()) {
        block.resize(std::min<std::uint64_t>(kBlockTokens, end - first));
        read(shard, first, block);
        for (const std::uint16_t token : block) ++histogram[token];
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
    for (const io::TokenShard& shard : shards_) {
      const std::uint64_t size = shard.token_count();
      print.checksum =
          extend_checksum(print.checksum, std::as_bytes(std::span<const std::uint64_t>(&size, 1)));
      for (std::uint64_t first = 0; first < size; first += share * kBlock) {
        block.resize(std::min(kBlock, size - first));
        shard.read(first, block);
        print.checksum =
            extend_checksum(print.checksum, std::as_bytes(std::span<const std::uint16_t>(block)));
      }
    }
    return print;
  }

 private:
  static constexpr std::size_t kBlockTokens = std::size_t{1} << 16;

  // Windows do not cross from one shard into the next.
  static std::uint64_t windows_of(const io::TokenShard& shard, std::int64_t length) {
    return (shard.token_count() - 1) / static_cast<std::uint64_t>(length);
  }
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
};

DataOptions data_options(const Config& config) {
  return {.source = config.data,
          .batch = config.train.batch,
          .sequence = config.train.sequence,
          .micro_batches = config.train.micro_batches,
          .validation_batches = config.evaluation.batches,
          .seed = config.run.seed};
}

void check_fingerprint(const DataFingerprint& recorded, const DataFingerprint& found,
                       const std::string& path, const std::string& command) {
  if (found == recorded) return;
  io::fail(
      "data.path {}: has changed since the run was started on it ({} bytes then, {} now{}); name "
      "the run's data with --set data.path=PATH, or take it as it is with {} --accept-changed-data",
      path, recorded.bytes, found.bytes,
      found.bytes == recorded.bytes ? ", and another checksum" : "", command);
}

Data::Data(const DataOptions& options) : options_(options) {
  const DataConfig& source = options.source;
  const DataFiles files = find_data_files(source);
  if (!files.ignored.empty()) {
    io::warn(
        "data.path {}: its token shards are read, but not {}; set data.format = \"bytes\" to "
        "train on text instead",
        source.path, files.ignored);
  }
  if (files.format == DataFormat::kShards) {
    source_ = std::make_unique<Shards>(files.shards, source.vocabulary);
  } else {
    source_ = std::make_unique<Bytes>(source);
  }

  const std::uint64_t windows = source_->windows(options.sequence);
  const bool validates = source.validation_share > 0;
  const std::uint64_t needed = validates ? 2 : 1;
  if (windows < needed) {
    io::fail("data.path {}: {} tokens are too short for {} of {} + 1 tokens; lower train.sequence",
             source.path, source_->tokens(),
             validates ? "a training and a validation window" : "a training window",
             options.sequence);
  }
  if (validates) {
    const double wanted = std::round(static_cast<double>(windows) * source.validation_share);
    validation_windows_ =
        std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, windows - 1);
  }
  train_windows_ = windows - validation_windows_;
}

Data::~Data() = default;
Data::Data(Data&&) noexcept = default;

void Data::copy_window(std::uint64_t window, std::int64_t row, Batch& out) const {
  const std::size_t size = static_cast<std::size_t>(options_.batch * options_.sequence);
  out.tokens.resize(size);
  out.targets.resize(size);
  const std::int64_t at = row * options_.sequence;
  source_->copy(window, options_.sequence, out.tokens.data() + at, out.targets.data() + at);
}

void Data::train_batch(std::uint64_t step, std::int64_t micro, Batch& out) const {
  CHECK(step >= 1 && micro >= 0 && micro < options_.micro_batches);
  const std::uint64_t sequences = (step - 1) * static_cast<std::uint64_t>(options_.micro_batches) +
                                  static_cast<std::uint64_t>(micro);
  for (std::int64_t row = 0; row < options_.batch; ++row) {
    const std::uint64_t drawn =
        sequences * static_cast<std::uint64_t>(options_.batch) + static_cast<std::uint64_t>(row);
    const std::uint64_t epoch = drawn / train_windows_;
    copy_window(shuffled(mix(options_.seed, epoch), train_windows_, drawn % train_windows_), row,
                out);
  }
}

std::int64_t Data::validation_batches() const {
  if (validation_windows_ == 0) return 0;
  const std::uint64_t whole = validation_windows_ / static_cast<std::uint64_t>(options_.batch);
  // A part smaller than one batch still makes one; some windows then stand in it twice.
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(whole), 1, options_.validation_batches);
}

void Data::validation_batch(std::int64_t index, Batch& out) const {
  CHECK(index >= 0 && index < validation_batches());
  const std::uint64_t all = static_cast<std::uint64_t>(validation_batches() * options_.batch);
  for (std::int64_t row = 0; row < options_.batch; ++row) {
    const std::uint64_t number = static_cast<std::uint64_t>(index * options_.batch + row);
    copy_window(train_windows_ + number * validation_windows_ / all, row, out);
  }
}

std::uint64_t Data::tokens() const {
  return source_->tokens();
}
std::uint64_t Data::train_windows() const {
  return train_windows_;
}
std::uint64_t Data::validation_windows() const {
  return validation_windows_;
}

double Data::epochs_before(std::uint64_t step) const {
  return static_cast<double>(step - 1) *
         static_cast<double>(options_.micro_batches * options_.batch) /
         static_cast<double>(train_windows_);
}

DataFingerprint Data::fingerprint() const {
  return source_->fingerprint();
}

double Data::unigram_entropy() const {
  std::vector<std::uint64_t> histogram(static_cast<std::size_t>(options_.source.vocabulary));
  source_->count(kEntropyTokens, histogram);
  double total = 0;
  for (const std::uint64_t count : histogram) total += static_cast<double>(count);
  double entropy = 0;
  for (const std::uint64_t count : histogram) {
    const double share = static_cast<double>(count) / total;
    if (count > 0) entropy -= share * std::log(share);
  }
  return entropy;
}

std::uint64_t shuffled(std::uint64_t key, std::uint64_t count, std::uint64_t position) {
  CHECK(position < count);
  // A Feistel network permutes [0, 4^half_bits); positions that land beyond count go round again
  // until they land inside, which keeps it a permutation of [0, count).
  const int half_bits = std::max(1, static_cast<int>(std::bit_width(count - 1) + 1) / 2);
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  do {
    std::uint64_t left = position >> half_bits;
    std::uint64_t right = position & mask;
    for (std::uint64_t round = 0; round < 6; ++round) {
      const std::uint64_t next = left ^ (mix(key + round, right) & mask);
      left = right;
      right = next;
    }
    position = left << half_bits | right;
  } while (position >= count);
  return position;
}

}  // namespace mneme::engine
