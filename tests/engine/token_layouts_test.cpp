// Training data in each layout of files of tokens, with ids that 16 bits do not hold.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "engine/data.h"
#include "engine/token_source.h"
#include "io/error.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/token_files.h"

namespace mneme::engine {
namespace {

using io::TokenLayout;
using mneme::testing::error_of;
using mneme::testing::write_documents;
using mneme::testing::write_tokens;
using Documents = std::vector<std::vector<std::int32_t>>;

struct Kind {
  TokenLayout layout;
  DataFormat format;
  int bytes;
};
const Kind kKinds[] = {{TokenLayout::kLlmC, DataFormat::kShards, 2},
                       {TokenLayout::kLlmC, DataFormat::kShards, 4},
                       {TokenLayout::kNanogpt, DataFormat::kNanogpt, 2},
                       {TokenLayout::kMegatron, DataFormat::kMegatron, 2},
                       {TokenLayout::kMegatron, DataFormat::kMegatron, 4}};

class TokenLayouts : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.file(name); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  DataOptions options(const std::string& path, DataFormat format = DataFormat::kAuto) const {
    DataOptions options;
    options.source.path = path;
    options.source.format = format;
    options.source.vocabulary = 200'000;
    options.source.validation_share = 0;
    options.sequence = 8;
    return options;
  }
  std::string error_with(const std::string& path, DataFormat format = DataFormat::kAuto) const {
    return error_of([&] { const Data data(options(path, format)); });
  }
  // Every token and target of an epoch.
  static std::set<std::int32_t> epoch(const Data& data) {
    std::set<std::int32_t> seen;
    Batch batch;
    for (std::uint64_t step = 1; data.epochs_before(step) < 1; ++step) {
      data.train_batch(step, 0, batch);
      seen.insert(batch.tokens.begin(), batch.tokens.end());
      seen.insert(batch.targets.begin(), batch.targets.end());
    }
    return seen;
  }

  test::TemporaryDirectory folder_;
};

TEST_F(TokenLayouts, are_trained_on_from_a_file_and_from_a_folder) {
  for (const Kind& kind : kKinds) {
    SCOPED_TRACE(fmt::format("{} of {} bytes", io::name_of(kind.layout), kind.bytes));
    std::filesystem::remove_all(path("data"));
    std::filesystem::create_directories(path("data"));
    std::vector<std::int32_t> first(81), second(41);
    std::iota(first.begin(), first.end(), kind.bytes == 2 ? 1000 : 131'000);
    std::iota(second.begin(), second.end(), kind.bytes == 2 ? 2000 : 132'000);
    write_tokens(path("data/b.bin"), second, kind.layout, kind.bytes);
    write_tokens(path("data/a.bin"), first, kind.layout, kind.bytes);

    const Data one(options(path("data/a.bin"), kind.format));
    EXPECT_EQ(epoch(one), std::set(first.begin(), first.end()));
    EXPECT_EQ(one.fingerprint().bytes, static_cast<std::uint64_t>(81 * kind.bytes));
    EXPECT_NEAR(one.unigram_entropy(), std::log(81.0), 1e-9);
    const Data both(options(path("data"), kind.format));
    EXPECT_EQ(both.tokens(), 122u);
    std::set<std::int32_t> all(first.begin(), first.end());
    all.insert(second.begin(), second.end());
    EXPECT_EQ(epoch(both), all);
    // What can be known is known.
    if (kind.layout == TokenLayout::kNanogpt) {
      EXPECT_NE(error_with(path("data")).find("set data.format = \"nanogpt\""), std::string::npos);
      EXPECT_NE(error_with(path("data/a.bin")).find("set data.format = \"nanogpt\""),
                std::string::npos);
    } else {
      EXPECT_EQ(Data(options(path("data"))).fingerprint(), both.fingerprint());
      EXPECT_EQ(Data(options(path("data/a.bin"))).fingerprint(), one.fingerprint());
    }
  }
}

TEST_F(TokenLayouts, name_a_token_outside_the_vocabulary) {
  for (const Kind& kind : kKinds) {
    std::vector<std::int32_t> tokens(100, 1);
    tokens[3] = kind.bytes == 2 ? 65'535 : 200'000;
    const std::string file = path("tokens.bin");
    std::filesystem::remove(path("tokens.idx"));
    write_tokens(file, tokens, kind.layout, kind.bytes);
    DataOptions narrow = options(file, kind.format);
    if (kind.bytes == 2) narrow.source.vocabulary = 65'535;
    const Data data(narrow);
    const std::string expected =
        fmt::format("{}: token {} at position 3 is outside data.vocabulary {}", file, tokens[3],
                    narrow.source.vocabulary);
    EXPECT_EQ(error_of([&] { epoch(data); }), expected);
    EXPECT_EQ(error_of([&] { data.unigram_entropy(); }), expected);
  }
}

// A run that goes on compares it with the one that it was started with.
TEST_F(TokenLayouts, have_the_fingerprint_that_they_always_had) {
  std::vector<std::int32_t> first(70'000), second(40'000);
  for (std::size_t i = 0; i < first.size(); ++i)
    first[i] = static_cast<std::int32_t>(i * i % 65521);
  for (std::size_t i = 0; i < second.size(); ++i)
    second[i] = static_cast<std::int32_t>(i * 7 % 50000);
  write_tokens(path("a.bin"), first);
  write_tokens(path("b.bin"), second);
  const DataFingerprint print = Data(options(folder_.path())).fingerprint();
  EXPECT_EQ(print.bytes, 220'000u);
  EXPECT_EQ(print.checksum, 0xaa883d90e07c62a3u);
}

TEST_F(TokenLayouts, of_megatron_have_another_fingerprint_with_other_documents) {
  const std::string file = path("tokens.bin");
  const auto print_of = [&](const Documents& documents) {
    std::filesystem::remove(path("tokens.idx"));
    write_documents(file, documents, TokenLayout::kMegatron, 4);
    return Data(options(file)).fingerprint();
  };
  const std::vector<std::int32_t> ten(10, 7), twenty(20, 7);
  EXPECT_EQ(print_of({ten, twenty}), print_of({ten, twenty}));
  EXPECT_NE(print_of({ten, twenty}), print_of({twenty, ten}));
}

TEST_F(TokenLayouts, of_megatron_say_where_documents_end) {
  write_documents(path("a.bin"), {{1, 2, 3}, {4}}, TokenLayout::kMegatron, 2);
  write_documents(path("b.bin"), {{5, 6}, {7, 8, 9, 10}}, TokenLayout::kMegatron, 4);
  DataConfig config = options(folder_.path()).source;
  const auto source = open_tokens(training_place(config));
  const SplitSource split = source->split_source();
  EXPECT_EQ(split.documents, (std::vector<std::uint64_t>{3, 4, 6, 10}));
  EXPECT_EQ(split.parts, (std::vector<TokenRange>{{0, 4}, {4, 10}}));
  std::vector<std::int32_t> tokens(6);
  source->read(4, tokens);
  EXPECT_EQ(tokens, (std::vector<std::int32_t>{5, 6, 7, 8, 9, 10}));
}

TEST_F(TokenLayouts, of_megatron_are_found_by_either_name_or_none) {
  write_tokens(path("tokens.bin"), std::vector<std::int32_t>(100, 70'000), TokenLayout::kMegatron,
               4);
  for (const char* name : {"tokens", "tokens.bin", "tokens.idx"}) {
    for (const DataFormat format : {DataFormat::kAuto, DataFormat::kMegatron}) {
      EXPECT_EQ(Data(options(path(name), format)).tokens(), 100u) << name;
    }
  }
  EXPECT_NE(error_with(path("tokens"), DataFormat::kShards).find("there is no such file"),
            std::string::npos);
  EXPECT_NE(error_with(path("tokens.bin"), DataFormat::kShards).find("not a token shard"),
            std::string::npos);
  std::filesystem::remove(path("tokens.idx"));
  EXPECT_EQ(error_with(path("tokens.bin"), DataFormat::kMegatron),
            fmt::format("data.path {}: has no index of Megatron-LM beside it ({})",
                        path("tokens.bin"), path("tokens.idx")));
  EXPECT_NE(error_with(path("tokens")).find("there is no such file"), std::string::npos);
}

TEST_F(TokenLayouts, of_several_kinds_in_a_folder_are_refused_with_a_way_out) {
  const std::string place = "data.path " + folder_.path() + ": ";
  const std::vector<std::int32_t> tokens(100, 7);
  write_tokens(path("a.bin"), tokens, TokenLayout::kMegatron);
  // An index is no text, whatever counts as such.
  DataOptions all = options(folder_.path());
  all.source.extensions = {};
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Data(all).tokens(), 100u);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");

  EXPECT_EQ(error_with(folder_.path(), DataFormat::kShards),
            place + path("a.bin") +
                " has an index of Megatron-LM beside it; set data.format = \"megatron\", or move "
                "both elsewhere");
  EXPECT_NE(error_with(folder_.path(), DataFormat::kNanogpt).find(path("a.idx")),
            std::string::npos);
  write_tokens(path("b.bin"), tokens);
  EXPECT_EQ(error_with(folder_.path()),
            place + path("b.bin") + " is a token shard of llm.c, but " + path("a.bin") +
                " has an index of Megatron-LM; move one kind elsewhere");
  EXPECT_EQ(error_with(folder_.path(), DataFormat::kMegatron),
            place + path("b.bin") + " has no index of Megatron-LM beside it (" + path("b.idx") +
                "); move it elsewhere");
  std::filesystem::remove(path("a.bin"));
  std::filesystem::remove(path("a.idx"));
  EXPECT_NE(error_with(folder_.path(), DataFormat::kNanogpt)
                .find(path("b.bin") + ": is a token shard of llm.c"),
            std::string::npos);
  std::filesystem::remove(path("b.bin"));
  EXPECT_EQ(error_with(folder_.path(), DataFormat::kNanogpt),
            place + "the folder holds no tokens of nanoGPT (*.bin); name one that does");
  EXPECT_EQ(
      error_with(folder_.path(), DataFormat::kMegatron),
      place + "the folder holds no tokens of Megatron-LM (*.bin with *.idx); name one that does");
  std::filesystem::create_directories(path("below"));
  write_tokens(path("below/a.bin"), tokens, TokenLayout::kMegatron);
  const std::string below = "set data.path = \"" + path("below") + "\"";
  EXPECT_NE(error_with(folder_.path(), DataFormat::kMegatron).find(below), std::string::npos);
  EXPECT_NE(error_with(folder_.path()).find(below), std::string::npos);
  EXPECT_EQ(Data(options(path("below"))).tokens(), 100u) << "the advice";
}

TEST_F(TokenLayouts, may_differ_between_training_and_validation) {
  write_tokens(path("train.bin"), std::vector<std::int32_t>(100, 150'000), TokenLayout::kMegatron,
               4);
  write_tokens(path("val.bin"), std::vector<std::int32_t>(100, 7));
  DataOptions both = options(path("train.bin"));
  both.source.validation_path = path("val.bin");
  const Data data(both);
  Batch batch;
  data.validation_batch(0, batch);
  EXPECT_EQ(batch.tokens, std::vector<std::int32_t>(8, 7));
  write("text.txt", std::string(1000, 'a'));
  both.source.validation_path = path("text.txt");
  EXPECT_NE(error_of([&] { const Data other(both); }).find("name data of the same kind"),
            std::string::npos);
}

}  // namespace
}  // namespace mneme::engine
