// What the tests of writers of tokens have in common.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/token_writer.h"
#include "tests/io/token_examples.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::test {

inline constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 26;

inline io::TokenWriterOptions options_of(
    const TokenKind& kind, const std::string& path,
    std::optional<io::TokenWriterState> resume = std::nullopt) {
  return {.layout = kind.layout, .path = path, .token_bytes = kind.width, .resume = resume};
}

// What a caller does: each token by itself, so that a state may lie within a document.
struct Step {
  std::vector<std::int32_t> ids;  // appended; none: the document ends
};
inline std::vector<Step> steps_of(const Documents& documents) {
  std::vector<Step> steps;
  for (const auto& document : documents) {
    for (const std::int32_t id : document) steps.push_back({{id}});
    steps.push_back({});
  }
  return steps;
}
inline void take(io::TokenWriter& writer, const Step& step) {
  if (step.ids.empty()) {
    writer.end_document();
  } else {
    writer.append(step.ids);
  }
}

// Names and content of all files in a folder of a disk.
inline std::map<std::string, Bytes> content_of(io::Disk& disk, const std::string& folder) {
  std::map<std::string, Bytes> content;
  for (const std::string& name : disk.list(folder)) {
    content[name] = disk.read_file(folder + "/" + name, kMostBytes);
  }
  return content;
}

inline std::map<std::string, Bytes> expected_content(const TokenKind& kind,
                                                     const Documents& documents) {
  std::map<std::string, Bytes> content;
  for (const auto& [ending, bytes] : token_files(kind.layout, kind.width, documents)) {
    content["tokens" + ending] = bytes;
  }
  return content;
}

// A state, the steps that led to it, and how much had happened on the disk by then.
struct Mark {
  io::TokenWriterState state;
  std::size_t steps = 0;
  std::size_t operations = 0;
};

class TokenWriters : public ::testing::TestWithParam<TokenKind> {
 protected:
  // A folder of a disk in memory.
  static std::unique_ptr<io::SimulatedDisk> make_disk() {
    auto disk = std::make_unique<io::SimulatedDisk>();
    disk->make_directories("d");
    return disk;
  }
  const TokenKind& kind() const { return GetParam(); }
  Documents documents() const { return example_documents(kind().width); }
  std::vector<Step> steps() const { return steps_of(documents()); }

  // Goes on from a mark, or begins anew without one, to the end.
  void go_on(io::Disk& disk, const std::optional<Mark>& mark) const {
    if (!mark) io::remove_partial_tokens(disk, kind().layout, "d/tokens.bin");
    const auto writer = io::make_token_writer(
        disk, options_of(kind(), "d/tokens.bin", mark ? std::optional(mark->state) : std::nullopt));
    const std::vector<Step> all = steps();
    for (std::size_t i = mark ? mark->steps : 0; i < all.size(); ++i) take(*writer, all[i]);
    writer->finish();
  }
  void expect_whole(io::Disk& disk) const {
    EXPECT_EQ(content_of(disk, "d"), expected_content(kind(), documents()));
  }
};

// The names that instances of such tests have.
struct KindName {
  std::string operator()(const ::testing::TestParamInfo<TokenKind>& instance) const {
    std::string name = instance.param.name();
    std::erase_if(name, [](unsigned char letter) { return std::isalnum(letter) == 0; });
    return name;
  }
};

}  // namespace mneme::test
