// Preparing small corpora, and what is then in the output.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "io/disk.h"
#include "io/forwarding_disk.h"
#include "tests/text/corpus/corpus_files.h"
#include "text/prepare/prepare.h"
#include "text/tokenizer.h"

namespace mneme::text::testing {

// Bytes, with a separator and a file of its own.
class SeparatingTokenizer : public Tokenizer {
 public:
  static constexpr std::int32_t kSeparator = 256;

  std::string kind() const override { return "bytes with an end"; }
  std::int64_t vocabulary() const override { return kSeparator + 1; }
  std::string_view file_content() const override { return "{\"the\": \"file\"}"; }
  std::string file_name() const override { return "tokenizer.json"; }
  std::optional<std::int32_t> separator() const override { return kSeparator; }
  const std::vector<SpecialToken>& special_tokens() const override { return special_tokens_; }
  std::optional<std::int32_t> find_token(std::string_view written) const override {
    if (written == "<|end|>") return kSeparator;
    return bytes_->find_token(written);
  }
  std::unique_ptr<Encoder> make_encoder() const override { return bytes_->make_encoder(); }
  std::string_view token_bytes(std::int32_t id) const override {
    return id == kSeparator ? std::string_view() : bytes_->token_bytes(id);
  }
  std::size_t find_cut(std::string_view text, std::size_t from) const override {
    return bytes_->find_cut(text, from);
  }

 private:
  std::unique_ptr<Tokenizer> bytes_ = make_byte_tokenizer();
  std::vector<SpecialToken> special_tokens_ = {{"<|end|>", kSeparator}};
};

// All files below a folder of a disk, by their paths from there.
inline std::map<std::string, std::string> files_below(const io::Disk& disk,
                                                      const std::string& folder,
                                                      const std::string& name = {}) {
  std::map<std::string, std::string> files;
  const std::string path = name.empty() ? folder : folder + "/" + name;
  if (!disk.exists(path)) return files;
  for (const std::string& entry : disk.list(path)) {
    const std::string below = name.empty() ? entry : name + "/" + entry;
    if (disk.is_directory(folder + "/" + below)) {
      files.merge(files_below(disk, folder, below));
    } else {
      const auto bytes = disk.read_file(folder + "/" + below, std::uint64_t{1} << 30);
      files[below] = std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
  }
  return files;
}

// The documents of tokens of 16 bits, each behind its separator; bytes become text again.
inline std::vector<std::string> documents_of(std::string_view stored, std::size_t header_bytes) {
  std::vector<std::string> documents;
  for (std::size_t at = header_bytes; at + 2 <= stored.size(); at += 2) {
    std::uint16_t token = 0;
    std::memcpy(&token, stored.data() + at, sizeof(token));
    if (token == SeparatingTokenizer::kSeparator) {
      documents.emplace_back();
    } else {
      EXPECT_FALSE(documents.empty()) << "a separator comes first";
      if (documents.empty()) documents.emplace_back();
      documents.back() += static_cast<char>(token);
    }
  }
  return documents;
}

inline constexpr std::size_t kLlmCHeaderBytes = 1024;

// The real disk without waiting for it: what a killed process has written stays.
class QuickDisk : public io::ForwardingDisk {
 public:
  explicit QuickDisk(io::Disk& inner) : ForwardingDisk(inner) {}

  std::unique_ptr<io::BlockFile> open(const std::string& path,
                                      const io::OpenOptions& options) override {
    return std::make_unique<QuickBlockFile>(ForwardingDisk::open(path, options));
  }
  std::unique_ptr<io::AppendFile> append(const std::string& path,
                                         std::uint64_t keep_bytes) override {
    return std::make_unique<QuickAppendFile>(ForwardingDisk::append(path, keep_bytes));
  }
  void make_directories(const std::string& path) override {
    std::filesystem::create_directories(path);
  }
  void sync_directory(const std::string&) override {}
  void write_file(const std::string& path, std::span<const std::byte> content) override {
    ForwardingDisk::append(path, 0)->append(content);
  }

 private:
  class QuickBlockFile : public io::ForwardingFile {
   public:
    using ForwardingFile::ForwardingFile;
    void sync() override {}
  };
  class QuickAppendFile : public io::AppendFile {
   public:
    explicit QuickAppendFile(std::unique_ptr<io::AppendFile> inner) : inner_(std::move(inner)) {}
    void append(std::span<const std::byte> bytes) override { inner_->append(bytes); }
    void sync() override {}

   private:
    std::unique_ptr<io::AppendFile> inner_;
  };
};

class Datasets : public ::testing::Test {
 protected:
  Datasets() {
    options_.inputs = {files_.path("in")};
    options_.output = files_.path("out");
    options_.program = "mneme test";
    options_.separator = "auto";
    options_.validation_share = 0.2;
    options_.shard_tokens = 700;
    options_.threads = 2;
    options_.batch_bytes = 300;
  }

  // A corpus of every kind of file, with its documents in order.
  std::vector<std::string> put_corpus(int documents = 60) {
    std::vector<std::string> all;
    std::string lines, text;
    for (int i = 0; i < documents; ++i) {
      all.push_back("document " + std::to_string(i) + std::string(std::size_t(i * 31 % 80), '.') +
                    "\n");
      lines += nlohmann::json{{"text", all.back()}}.dump() + "\n";
    }
    files_.put("in/a.jsonl", lines);
    for (int i = 0; i < documents; ++i) {
      all.push_back("text " + std::to_string(i) + "\n");
      text += all.back() + "---\n";
    }
    files_.put("in/b.txt.gz", gzipped(text));
    all.push_back(std::string(5000, 'x') + "\n");
    files_.put("in/c.md", all.back());
    options_.document_separator = "---";
    return all;
  }

  PreparedDataset run() { return prepare(disk_, tokenizer_, options_); }
  std::map<std::string, std::string> output() { return files_below(disk_, options_.output); }
  // What a run of its own makes of the options.
  std::map<std::string, std::string> expected() {
    PrepareOptions options = options_;
    options.output = files_.path("expected");
    options.check = {};
    prepare(disk_, tokenizer_, options);
    auto made = files_below(disk_, options.output);
    std::filesystem::remove_all(options.output);
    return made;
  }

  CorpusFiles files_;
  std::unique_ptr<io::Disk> real_disk_ = io::make_posix_disk();
  QuickDisk disk_{*real_disk_};
  SeparatingTokenizer tokenizer_;
  PrepareOptions options_;
};

}  // namespace mneme::text::testing
