#include "engine/token_source.h"

#include <algorithm>
#include <utility>

#include "engine/tokenized_text.h"
#include "io/check.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/log.h"
#include "io/progress.h"
#include "io/text_source.h"
#include "io/token_file.h"

namespace mneme::engine {
namespace {

// The bytes that a fingerprint reads.
constexpr std::uint64_t kFingerprintBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kFingerprintBlock = std::uint64_t{1} << 16;
// Of a source, 32 MiB: a split needs to know some near each place, not those of millions of
// documents.
constexpr std::size_t kMostDocumentEnds = std::size_t{1} << 22;

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
  bool is_text() const override { return true; }
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

class TokenFiles : public TokenSource {
 public:
  TokenFiles(const std::vector<std::string>& paths, io::TokenLayout layout, std::int64_t vocabulary)
      : vocabulary_(vocabulary) {
    for (const std::string& path : paths) {
      files_.emplace_back(path, layout);
      ends_.push_back(tokens() + files_.back().token_count());
    }
  }
  bool is_text() const override { return false; }
  std::uint64_t tokens() const override { return ends_.empty() ? 0 : ends_.back(); }
  SplitSource split_source() const override {
    SplitSource source;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      source.parts.push_back({begin_of(i), ends_[i]});
      const std::vector<std::uint64_t> documents = documents_of(files_[i]);
      for (const std::uint64_t end : documents) source.documents.push_back(begin_of(i) + end);
      if (documents.empty()) source.documents.push_back(ends_[i]);
    }
    source.next_line = [](std::uint64_t after, std::uint64_t) { return after; };
    return source;
  }
  void read(std::uint64_t first, std::span<std::int32_t> out) const override {
    const auto file =
        static_cast<std::size_t>(std::ranges::upper_bound(ends_, first) - ends_.begin());
    read(files_[file], first - begin_of(file), out);
  }
  void count(std::uint64_t limit, std::vector<std::uint64_t>& histogram) const override {
    std::vector<std::int32_t> block(kBlockTokens);
    io::Phase phase("counting the data's tokens", std::min(limit, tokens()), "tokens");
    for (const io::TokenFile& file : files_) {
      const std::uint64_t end = std::min(limit, file.token_count());
      for (std::uint64_t first = 0; first < end; first += block.size()) {
        block.resize(std::min<std::uint64_t>(kBlockTokens, end - first));
        read(file, first, block);
        for (const std::int32_t token : block) ++histogram[static_cast<std::size_t>(token)];
        phase.add(block.size());
      }
      limit -= end;
    }
  }
  DataFingerprint fingerprint() const override;

 private:
  static constexpr std::size_t kBlockTokens = std::size_t{1} << 16;

  std::uint64_t begin_of(std::size_t file) const { return file == 0 ? 0 : ends_[file - 1]; }
  std::vector<std::uint64_t> documents_of(const io::TokenFile& file) const {
    return file.document_ends(std::max<std::size_t>(1, kMostDocumentEnds / files_.size()));
  }
  void read(const io::TokenFile& file, std::uint64_t first, std::span<std::int32_t> out) const {
    file.read(first, out);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (out[i] >= vocabulary_) [[unlikely]] {
        io::fail("{}: token {} at position {} is outside data.vocabulary {}", file.path(), out[i],
                 first + i, vocabulary_);
      }
    }
  }

  std::int64_t vocabulary_;
  std::vector<io::TokenFile> files_;
  std::vector<std::uint64_t> ends_;  // tokens up to the end of each file
};

DataFingerprint TokenFiles::fingerprint() const {
  DataFingerprint print;
  const auto bytes_of = [](const io::TokenFile& file) {
    return file.token_count() * static_cast<std::uint64_t>(file.token_bytes());
  };
  for (const io::TokenFile& file : files_) print.bytes += bytes_of(file);
  // Every block, or one of each stretch of blocks.
  const std::uint64_t share = 1 + print.bytes / kFingerprintBytes;
  std::vector<std::byte> block(kFingerprintBlock);
  io::Phase phase("taking the data's checksum", print.bytes / share);
  const auto extend = [&](std::span<const std::byte> bytes) {
    print.checksum = io::extend_checksum(print.checksum, bytes);
  };
  for (const io::TokenFile& file : files_) {
    const std::uint64_t size = file.token_count();
    extend(std::as_bytes(std::span(&size, 1)));
    for (std::uint64_t first = 0; first < bytes_of(file); first += share * kFingerprintBlock) {
      block.resize(std::min(kFingerprintBlock, bytes_of(file) - first));
      file.read_stored(first / static_cast<std::uint64_t>(file.token_bytes()), block);
      extend(block);
      phase.add(block.size());
    }
    // Where documents end decides which tokens validate.
    const std::vector<std::uint64_t> documents = documents_of(file);
    if (!documents.empty()) extend(std::as_bytes(std::span(documents)));
  }
  return print;
}

io::TokenLayout layout_of(DataFormat format) {
  switch (format) {
    case DataFormat::kShards:
      return io::TokenLayout::kLlmC;
    case DataFormat::kNanogpt:
      return io::TokenLayout::kNanogpt;
    case DataFormat::kMegatron:
      return io::TokenLayout::kMegatron;
    default:
      CHECK(false, "text has no layout of tokens");
  }
}

}  // namespace

std::unique_ptr<TokenSource> open_tokens(const DataPlace& place) {
  const DataFiles files = find_data_files(place);
  if (!files.ignored.empty()) {
    io::warn(
        "{} {}: its token shards are read, but not {}; set data.format = \"bytes\" to train on "
        "text instead",
        place.key, place.path, files.ignored);
  }
  if (files.format == DataFormat::kBytes) {
    if (!place.tokenizer.empty()) return open_tokenized_text(place);
    return std::make_unique<Bytes>(place);
  }
  return std::make_unique<TokenFiles>(files.tokens, layout_of(files.format), place.vocabulary);
}

}  // namespace mneme::engine
