// Training sees every window once an epoch, in an order that only the seed and the step decide.
#include "engine/data.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "io/error.h"
#include "tests/support/token_files.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;

class DataTest : public ::testing::Test {
 protected:
  DataTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              ("mneme_data_" + std::string(test->name()) + "_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  ~DataTest() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }
  std::string write_shard(const std::string& name, const std::vector<std::uint16_t>& tokens) const {
    mneme::testing::write_tokens((folder_ / name).string(), tokens);
    return (folder_ / name).string();
  }

  fs::path folder_;
};

// Text in which every byte tells its position (mod 251, so that neighbours differ).
std::string numbered(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i % 251);
  return text;
}

DataOptions options_of(const std::string& path) {
  DataOptions options;
  options.source.path = path;
  options.source.validation_share = 0.1;
  options.batch = 3;
  options.sequence = 8;
  options.micro_batches = 2;
  options.validation_batches = 4;
  options.seed = 5;
  return options;
}

std::string error_of(const DataOptions& options) {
  try {
    const Data data(options);
  } catch (const io::Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Shuffle, IsAPermutationThatDependsOnTheKey) {
  for (const std::uint64_t count : {1ull, 2ull, 3ull, 5ull, 64ull, 1000ull, 4097ull}) {
    std::vector<std::vector<std::uint64_t>> orders;
    for (const std::uint64_t key : {1ull, 2ull}) {
      std::vector<std::uint64_t> order;
      for (std::uint64_t i = 0; i < count; ++i) order.push_back(shuffled(key, count, i));
      const std::set<std::uint64_t> distinct(order.begin(), order.end());
      EXPECT_EQ(distinct.size(), count);
      EXPECT_LT(*distinct.rbegin(), count);
      orders.push_back(order);
    }
    if (count >= 64) {
      EXPECT_NE(orders[0], orders[1]);
    }
  }
}

TEST(Shuffle, NeighboursAreFarApart) {
  constexpr std::uint64_t kCount = 1 << 14;
  double distance = 0;
  for (std::uint64_t i = 0; i + 1 < kCount; ++i) {
    distance += std::abs(static_cast<double>(shuffled(7, kCount, i)) -
                         static_cast<double>(shuffled(7, kCount, i + 1)));
  }
  // Two random positions are a third of the range apart.
  EXPECT_NEAR(distance / (kCount - 1) / kCount, 1.0 / 3, 0.02);
}

TEST_F(DataTest, TargetsFollowTokens) {
  const Data data(options_of(write("text", numbered(1000))));
  Batch batch;
  for (std::uint64_t step = 1; step <= 30; ++step) {
    data.train_batch(step, static_cast<std::int64_t>(step % 2), batch);
    ASSERT_EQ(batch.tokens.size(), 24u);
    ASSERT_EQ(batch.targets.size(), 24u);
    for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
      EXPECT_EQ(batch.targets[i], (batch.tokens[i] + 1) % 251);
    }
  }
}

TEST_F(DataTest, BytesAbove127AreTokensToo) {
  DataOptions options = options_of(write("text", std::string(100, '\xff')));
  Batch batch;
  Data(options).train_batch(1, 0, batch);
  EXPECT_EQ(batch.tokens[0], 255);
}

TEST_F(DataTest, AnEpochHasEveryTrainingWindowOnceAndNoValidationWindow) {
  // 8 x 30 windows of 8 tokens; the first token of a window names it.
  std::vector<std::uint16_t> tokens(8 * 240 + 1);
  std::iota(tokens.begin(), tokens.end(), std::uint16_t{0});
  DataOptions options = options_of(write_shard("a.bin", tokens));
  options.source.vocabulary = 4096;
  options.source.validation_split = ValidationSplit::kTail;
  const Data data(options);
  EXPECT_EQ(data.tokens(), tokens.size());
  ASSERT_EQ(data.train_windows(), 216u);
  ASSERT_EQ(data.validation_windows(), 24u);

  Batch batch;
  std::map<std::int32_t, int> seen;
  for (std::uint64_t step = 1; step <= 36; ++step) {  // 36 x 2 x 3 = 216
    for (const std::int64_t micro : {0, 1}) {
      data.train_batch(step, micro, batch);
      for (std::size_t row = 0; row < 3; ++row) ++seen[batch.tokens[row * 8]];
    }
  }
  EXPECT_EQ(seen.size(), 216u);
  for (const auto& [first, times] : seen) {
    EXPECT_EQ(times, 1);
    EXPECT_EQ(first % 8, 0);
    EXPECT_LT(first, 216 * 8);
  }
  EXPECT_EQ(data.epochs_before(37), 1.0);

  ASSERT_EQ(data.validation_batches(), 4);
  for (std::int64_t index = 0; index < 4; ++index) {
    data.validation_batch(index, batch);
    for (std::size_t row = 0; row < 3; ++row) EXPECT_GE(batch.tokens[row * 8], 216 * 8);
  }
}

TEST_F(DataTest, TheStepIsTheWholeCursor) {
  const DataOptions options = options_of(write("text", numbered(1000)));
  const Data one(options);
  const Data other(options);
  Batch expected;
  Batch batch;
  for (std::uint64_t step = 1; step <= 20; ++step) {
    one.train_batch(step, 0, expected);
    one.train_batch(step + 1, 0, batch);  // a look ahead changes nothing
    one.train_batch(step, 0, batch);
    EXPECT_EQ(batch.tokens, expected.tokens);
    other.train_batch(step, 0, batch);  // as after a resume
    EXPECT_EQ(batch.tokens, expected.tokens);
    other.train_batch(step, 1, batch);
    EXPECT_NE(batch.tokens, expected.tokens);
  }
}

TEST_F(DataTest, TheSeedDecidesTheOrderAndNotTheValidationPart) {
  DataOptions options = options_of(write("text", numbered(1000)));
  const Data one(options);
  options.seed = 6;
  const Data other(options);
  Batch first;
  Batch second;
  one.train_batch(1, 0, first);
  other.train_batch(1, 0, second);
  EXPECT_NE(first.tokens, second.tokens);
  one.validation_batch(0, first);
  other.validation_batch(0, second);
  EXPECT_EQ(first.tokens, second.tokens);
}

TEST_F(DataTest, AFolderOfShardsIsReadInOrderWithoutCrossingShards) {
  write_shard("b.bin", std::vector<std::uint16_t>(17, 2));
  write_shard("a.bin", std::vector<std::uint16_t>(17, 1));
  DataOptions options = options_of(folder_.string());
  options.source.vocabulary = 10;
  options.source.validation_share = 0.5;
  options.source.validation_split = ValidationSplit::kTail;
  const Data data(options);
  EXPECT_EQ(data.train_windows(), 2u);
  Batch batch;
  data.train_batch(1, 0, batch);
  EXPECT_EQ(batch.tokens, std::vector<std::int32_t>(24, 1));
  EXPECT_EQ(batch.targets, std::vector<std::int32_t>(24, 1));
  data.validation_batch(0, batch);
  EXPECT_EQ(batch.targets, std::vector<std::int32_t>(24, 2));
}

TEST_F(DataTest, ATokenOutsideTheVocabularyIsNamed) {
  std::vector<std::uint16_t> tokens(100, 1);
  tokens[3] = 10;
  DataOptions options = options_of(write_shard("a.bin", tokens));
  options.source.vocabulary = 10;
  options.source.validation_share = 0;
  const Data data(options);
  Batch batch;
  std::string message = "no error";
  try {
    for (std::uint64_t step = 1; step <= 4; ++step) data.train_batch(step, 0, batch);
  } catch (const io::Error& error) {
    message = error.what();
  }
  EXPECT_EQ(message,
            options.source.path + ": token 10 at position 3 is outside data.vocabulary 10");
}

TEST_F(DataTest, UnigramEntropyIsThatOfTheTokens) {
  EXPECT_NEAR(Data(options_of(write("a", std::string(64, 'x')))).unigram_entropy(), 0, 1e-12);
  std::string two;
  for (int i = 0; i < 32; ++i) two += "aaab";
  const double expected = -(0.75 * std::log(0.75) + 0.25 * std::log(0.25));
  EXPECT_NEAR(Data(options_of(write("b", two))).unigram_entropy(), expected, 1e-12);
}

TEST_F(DataTest, UnusableDataIsAnErrorThatNamesIt) {
  EXPECT_EQ(error_of(options_of("")),
            "data.path is not set; name a text file, a folder of text or token shards");
  EXPECT_EQ(error_of(options_of("/nowhere/at/all")),
            "data.path /nowhere/at/all: there is no such file or folder; name the data with --set "
            "data.path=PATH, or make it with mneme prepare (docs/text.md)");
  EXPECT_NE(error_of(options_of(write("empty", ""))).find("empty"), std::string::npos);
  EXPECT_NE(error_of(options_of(folder_.string())).find(folder_.string()), std::string::npos);
  const std::string shorter = write("short", "sixteen letters!");
  EXPECT_EQ(error_of(options_of(shorter)),
            "data.path " + shorter +
                ": 16 tokens are too short for a training and a validation window of 8 + 1 "
                "tokens; lower train.sequence");
  DataOptions options = options_of(write("text", numbered(1000)));
  options.source.vocabulary = 255;
  EXPECT_NE(error_of(options).find("data.vocabulary = 256"), std::string::npos);
  options = options_of(write("no_shard.bin", "text"));
  EXPECT_NE(error_of(options).find("no_shard.bin"), std::string::npos);
}

TEST_F(DataTest, ShardsAreKnownByTheirFirstBytes) {
  const std::vector<std::uint16_t> tokens(100, 7);
  const std::string shard = write_shard("tokens.dat", tokens);
  DataOptions options = options_of(shard);
  EXPECT_EQ(Data(options).tokens(), 100u) << "tokens, not bytes";
  options.source.format = DataFormat::kBytes;
  EXPECT_EQ(Data(options).tokens(), 1224u);
  const std::string text = write("text.bin", numbered(1000));
  EXPECT_EQ(error_of(options_of(text)),
            "data.path " + text +
                ": not a token shard, though named *.bin; set data.format = \"nanogpt\" if it is "
                "uint16 tokens without a header, or set data.format = \"bytes\" to train on its "
                "bytes");
  options = options_of(text);
  options.source.format = DataFormat::kBytes;  // the advice
  EXPECT_EQ(Data(options).tokens(), 1000u);
}

TEST_F(DataTest, ShardsInAFolderWinOverTextBesideThem) {
  write_shard("a.bin", std::vector<std::uint16_t>(100, 7));
  write("README.md", numbered(5000));
  write(".hidden.bin", "no shard, and no data");
  fs::create_directory(folder_ / "notes.bin");
  write("notes.bin/more.txt", numbered(3000));
  ::testing::internal::CaptureStderr();
  const Data data(options_of(folder_.string()));
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(data.tokens(), 100u);
  EXPECT_NE(said.find("README.md and 1 more text files; set data.format = \"bytes\""),
            std::string::npos)
      << said;
  DataOptions options = options_of(folder_.string());
  options.source.format = DataFormat::kBytes;  // the advice
  EXPECT_EQ(Data(options).tokens(), 8000u);
}

TEST_F(DataTest, AFolderOfWhichNobodyKnowsWhatIsMeantIsRefusedWithAWayOut) {
  const std::string folder = folder_.string();
  const std::string place = "data.path " + folder + ": ";
  const std::string as_bytes = "set data.format = \"bytes\" to train on ";
  DataOptions options = options_of(folder);
  DataOptions shards = options_of(folder);
  shards.source.format = DataFormat::kShards;

  EXPECT_EQ(error_of(options),
            place +
                "none of its 0 files has an ending of data.extensions; set data.extensions, or "
                "[] for all files");
  EXPECT_EQ(error_of(shards),
            place + "the folder holds no token shards (*.bin); name one that does");

  const std::string text = write("text.txt", numbered(1000));
  EXPECT_EQ(error_of(options), "no error");
  EXPECT_EQ(error_of(shards),
            place + "the folder holds no token shards (*.bin); " + as_bytes + "its text");
  options.source.extensions = {".pod"};
  EXPECT_EQ(error_of(options),
            place +
                "none of its 1 files has an ending of data.extensions; set data.extensions, or "
                "[] for all files");
  options.source.extensions = {};
  EXPECT_EQ(error_of(options), "no error") << "the advice";
  options = options_of(folder);

  // A shard that would be read as text.
  const std::string hidden = write_shard("train.md", std::vector<std::uint16_t>(100, 7));
  EXPECT_EQ(error_of(options), place + hidden + " is a token shard; give it the ending .bin, or " +
                                   as_bytes + "its bytes");
  fs::remove(hidden);

  // Shards in a folder below.
  fs::create_directory(folder_ / "below");
  write_shard("below/a.bin", std::vector<std::uint16_t>(100, 7));
  const std::string below = "set data.path = \"" + folder + "/below\"";
  EXPECT_EQ(error_of(options),
            place + "token shards are in a folder below; " + below + ", or " + as_bytes + "text");
  EXPECT_EQ(error_of(shards),
            place + "the folder holds no token shards (*.bin); one below does: " + below);
  EXPECT_EQ(Data(options_of(folder + "/below")).tokens(), 100u) << "the advice";
  fs::remove_all(folder_ / "below");

  // *.bin files that are none, alone, and beside a shard.
  const std::string stranger = write("image.bin", "an image");
  const std::string refused = place + stranger +
                              " is no token shard, though named *.bin; move it elsewhere, or set "
                              "data.format = \"nanogpt\" if all are uint16 tokens without a "
                              "header, or " +
                              as_bytes + "text";
  EXPECT_EQ(error_of(options), refused);
  EXPECT_EQ(error_of(shards), refused);
  write_shard("a.bin", std::vector<std::uint16_t>(100, 7));
  EXPECT_EQ(error_of(options), refused);
  fs::remove(stranger);
  fs::create_symlink("nowhere", stranger);
  EXPECT_NE(error_of(options).find(stranger + ": cannot open"), std::string::npos);
  fs::remove(stranger);
  ASSERT_EQ(::mkfifo(stranger.c_str(), 0600), 0);
  EXPECT_EQ(error_of(options), refused);
  fs::remove(stranger);
  fs::remove(text);
  EXPECT_EQ(Data(options).tokens(), 100u);
}

TEST_F(DataTest, APipeIsNoData) {
  const std::string pipe = (folder_ / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const DataFormat format : {DataFormat::kAuto, DataFormat::kBytes, DataFormat::kShards}) {
    DataOptions options = options_of(pipe);
    options.source.format = format;
    EXPECT_EQ(error_of(options), "data.path " + pipe +
                                     ": neither a file nor a folder; data is read more than once, "
                                     "copy it to a file");
  }
}

// Files in the order of their names, as languages are sorted: each gives validation its share.
TEST_F(DataTest, ValidationComesFromEveryDocument) {
  write("en.txt", std::string(40'000, 'e') + "\n");
  write("fi.txt", std::string(20'000, 'f') + "\n");
  write("zh.txt", std::string(20'000, 'z') + "\n");
  DataOptions options = options_of(folder_.string());
  options.validation_batches = 1'000'000;
  const Data data(options);
  std::map<std::int32_t, int> seen;
  Batch batch;
  for (std::int64_t index = 0; index < data.validation_batches(); ++index) {
    data.validation_batch(index, batch);
    for (const std::int32_t token : batch.tokens) ++seen[token];
  }
  EXPECT_NEAR(seen['e'], 4000, 400);
  EXPECT_NEAR(seen['f'], 2000, 400);
  EXPECT_NEAR(seen['z'], 2000, 400);
  options.source.validation_split = ValidationSplit::kTail;
  Data(options).validation_batch(0, batch);
  EXPECT_EQ(std::ranges::count(batch.tokens, 'z'), std::ssize(batch.tokens));
}

TEST_F(DataTest, TrainingNeverSeesWhatValidates) {
  // The number of a token is its value.
  std::vector<std::uint16_t> tokens(60'000);
  std::iota(tokens.begin(), tokens.end(), std::uint16_t{0});
  write_shard("a.bin", {tokens.begin(), tokens.begin() + 20'001});
  write_shard("b.bin", {tokens.begin() + 20'001, tokens.end()});
  DataOptions options = options_of(folder_.string());
  options.source.vocabulary = 65536;
  options.validation_batches = 1'000'000;
  const Data data(options);
  std::set<std::int32_t> trained, validated;
  Batch batch;
  for (std::uint64_t step = 1; data.epochs_before(step) < 1; ++step) {
    for (const std::int64_t micro : {0, 1}) {
      data.train_batch(step, micro, batch);
      trained.insert(batch.tokens.begin(), batch.tokens.end());
      trained.insert(batch.targets.begin(), batch.targets.end());
    }
  }
  for (std::int64_t index = 0; index < data.validation_batches(); ++index) {
    data.validation_batch(index, batch);
    validated.insert(batch.tokens.begin(), batch.tokens.end());
    validated.insert(batch.targets.begin(), batch.targets.end());
  }
  EXPECT_NEAR(double(validated.size()), 6000, 300);
  EXPECT_GT(trained.size(), 53'000u);
  for (const std::int32_t token : validated) EXPECT_FALSE(trained.contains(token)) << token;
}

TEST_F(DataTest, ValidationDataOfItsOwnLeavesAllTheOtherToTraining) {
  DataOptions options = options_of(write("text", std::string(1000, 'a')));
  options.source.validation_path = write("other", std::string(100, 'b'));
  const Data data(options);
  EXPECT_EQ(data.train_windows(), 124u);
  EXPECT_EQ(data.validation_windows(), 12u);
  Batch batch;
  data.train_batch(1, 0, batch);
  EXPECT_EQ(batch.targets, std::vector<std::int32_t>(24, 'a'));
  data.validation_batch(0, batch);
  EXPECT_EQ(batch.targets, std::vector<std::int32_t>(24, 'b'));
  EXPECT_EQ(data.fingerprint(), Data(options_of(options.source.path)).fingerprint());
  EXPECT_EQ(data.validation_fingerprint(),
            Data(options_of(options.source.validation_path)).fingerprint());
  options.source.validation_share = 0;
  EXPECT_EQ(Data(options).validation_windows(), 12u);

  // To evaluate, the training data need not be there.
  options.source.path = "/nowhere";
  options.validation_only = true;
  const Data only(options);
  EXPECT_EQ(only.tokens(), 100u);
  EXPECT_EQ(only.validation_batches(), 4);
}

// Where the documents of a batch begin, as text positions: the numbers of numbered().
std::set<std::int32_t> beginnings(const Batch& batch) {
  std::set<std::int32_t> found;
  for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
    EXPECT_LE(batch.first_keys[i], static_cast<std::int32_t>(i % 8));
    if (batch.first_keys[i] == static_cast<std::int32_t>(i % 8)) found.insert(batch.tokens[i]);
  }
  return found;
}

TEST_F(DataTest, DocumentsBeginBehindTextFilesAndAtSeparators) {
  const std::string text = numbered(240);
  write("a.txt", text.substr(0, 19));
  write("b.txt", text.substr(19, 100));
  write("c.txt", text.substr(119));
  DataOptions options = options_of(folder_.string());
  options.source.validation_share = 0;
  options.batch = 29;  // all windows of 8 tokens
  options.micro_batches = 1;
  Batch batch;
  Data(options).train_batch(1, 0, batch);
  EXPECT_TRUE(batch.first_keys.empty());
  std::set<std::int32_t> expected;
  for (std::int32_t window = 0; window < 29; ++window) expected.insert(8 * window);

  options.source.documents = Documents::kSeparate;
  Data(options).train_batch(1, 0, batch);
  ASSERT_EQ(batch.first_keys.size(), batch.tokens.size());
  expected.insert({19, 119});
  EXPECT_EQ(beginnings(batch), expected);

  options.source.separator = 77;
  Data(options).train_batch(1, 0, batch);
  expected.insert(77);
  EXPECT_EQ(beginnings(batch), expected);

  // A batch that was used before with documents has none left.
  options.source.documents = Documents::kJoined;
  Data(options).train_batch(1, 0, batch);
  EXPECT_TRUE(batch.first_keys.empty());
}

TEST_F(DataTest, DocumentsOfShardsBeginAtSeparatorsInTrainingAndValidation) {
  std::vector<std::uint16_t> tokens(400, 1);
  for (std::size_t i = 0; i < tokens.size(); i += 3) tokens[i] = 7;
  DataOptions options = options_of(write_shard("a.bin", tokens));
  options.source.documents = Documents::kSeparate;
  options.source.separator = 7;
  for (const bool own : {false, true}) {
    if (own) options.source.validation_path = write_shard("b.bin", tokens);
    const Data data(options);
    Batch batch;
    for (const bool trains : {true, false}) {
      trains ? data.train_batch(1, 1, batch) : data.validation_batch(0, batch);
      ASSERT_EQ(batch.first_keys.size(), 24u);
      for (std::size_t i = 0; i < 24; ++i) {
        const auto at = static_cast<std::int32_t>(i % 8);
        const std::int32_t before = at == 0 ? 0 : batch.first_keys[i - 1];
        EXPECT_EQ(batch.first_keys[i], batch.tokens[i] == 7 ? at : before);
      }
    }
  }
}

TEST_F(DataTest, OneDocumentThatIsToBeKeptApartIsAWarning) {
  DataOptions options = options_of(write_shard("a.bin", std::vector<std::uint16_t>(100, 7)));
  const auto warned = [&] {
    ::testing::internal::CaptureStderr();
    const Data data(options);
    return ::testing::internal::GetCapturedStderr().find("data.separator") != std::string::npos;
  };
  EXPECT_FALSE(warned());
  options.source.documents = Documents::kSeparate;
  EXPECT_TRUE(warned());
  options.source.separator = 7;
  EXPECT_FALSE(warned());
  options.source.separator = -1;
  const std::string text = write("a.txt", numbered(100));
  options.source.path = text;
  EXPECT_TRUE(warned());
  write("b.txt", numbered(100));
  fs::remove(folder_ / "a.bin");
  options.source.path = folder_.string();
  EXPECT_FALSE(warned());
}

TEST_F(DataTest, UnusableValidationDataIsAnErrorThatNamesItsKey) {
  DataOptions options = options_of(write("text", numbered(1000)));
  const auto error_with = [&](const std::string& path) {
    options.source.validation_path = path;
    return error_of(options);
  };
  EXPECT_EQ(error_with("/nowhere"),
            "data.validation_path /nowhere: there is no such file or folder; name the data with "
            "--set data.validation_path=PATH, or make it with mneme prepare (docs/text.md)");
  const std::string shorter = write("short", "8letters");
  EXPECT_EQ(error_with(shorter), "data.validation_path " + shorter +
                                     ": 8 tokens are too short for a validation window of 8 + 1 "
                                     "tokens; lower train.sequence");
  const std::string shard = write_shard("a.bin", std::vector<std::uint16_t>(100, 7));
  EXPECT_EQ(error_with(shard), "data.validation_path " + shard +
                                   ": holds token shards, but "
                                   "data.path " +
                                   options.source.path + " holds text; name data of the same kind");
}

TEST_F(DataTest, ASmallValidationPartStillMakesOneBatch) {
  DataOptions options = options_of(write("text", numbered(17)));
  const Data data(options);
  EXPECT_EQ(data.train_windows(), 1u);
  EXPECT_EQ(data.validation_windows(), 1u);
  ASSERT_EQ(data.validation_batches(), 1);
  Batch batch;
  data.validation_batch(0, batch);
  EXPECT_EQ(batch.tokens[16], 8);
  options.source.validation_share = 0;
  EXPECT_EQ(Data(options).validation_batches(), 0);
  EXPECT_EQ(Data(options).train_windows(), 2u);
}

}  // namespace
}  // namespace mneme::engine
