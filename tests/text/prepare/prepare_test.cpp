// Datasets hold the documents of a corpus in order, whatever the number of threads.
#include "text/prepare/prepare.h"

#include "tests/simulated_disk/simulated_disk.h"
#include "tests/support/error_of.h"
#include "tests/text/prepare/datasets.h"

namespace mneme::text {
namespace {

using mneme::testing::error_of;
using testing::files_below;
using testing::kLlmCHeaderBytes;
using testing::SeparatingTokenizer;
using Texts = std::vector<std::string>;

class Prepare : public testing::Datasets {
 protected:
  // The documents of a part, from all of its files.
  Texts documents(const std::string& front, std::size_t header_bytes = kLlmCHeaderBytes) {
    std::string tokens;
    for (const auto& [name, content] : output()) {
      if (name.starts_with(front) && name.ends_with(".bin")) tokens += content.substr(header_bytes);
    }
    return testing::documents_of(tokens, 0);
  }
  std::string error() {
    return error_of([&] { run(); });
  }
  void expect_error(const std::string& part) {
    const std::string message = error();
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
};

TEST_F(Prepare, EveryDocumentIsInOnePartInOrder) {
  const Texts all = put_corpus();
  const PreparedDataset dataset = run();
  const Texts train = documents("train/"), validation = documents("validation/");
  EXPECT_EQ(train.size() + validation.size(), all.size());
  EXPECT_EQ(train.front(), all.front()) << "the first document trains";
  EXPECT_NEAR(static_cast<double>(validation.size()), 0.2 * static_cast<double>(all.size()), 2);
  std::size_t of_train = 0, of_validation = 0;
  for (const std::string& document : all) {
    if (of_validation < validation.size() && validation[of_validation] == document) {
      ++of_validation;
    } else {
      ASSERT_LT(of_train, train.size());
      EXPECT_EQ(train[of_train++], document);
    }
  }
  EXPECT_EQ(of_validation, validation.size());
  EXPECT_EQ(dataset.train.documents, train.size());
  EXPECT_EQ(dataset.validation.documents, validation.size());
  EXPECT_EQ(dataset.train.tokens, dataset.train.text_bytes + dataset.train.documents);
  EXPECT_EQ(dataset.sources, 3u);
  EXPECT_FALSE(std::filesystem::exists(options_.output + io::kAsideSuffix));
}

TEST_F(Prepare, ThreadsAndBatchesChangeNoByte) {
  put_corpus();
  const auto whole = expected();
  EXPECT_GT(whole.size(), 10u);
  for (const int threads : {1, 2, 4}) {
    for (const std::size_t bytes : {1, 100, 1 << 20}) {
      options_.threads = threads;
      options_.batch_bytes = bytes;
      EXPECT_EQ(expected(), whole) << threads << " threads, batches of " << bytes;
    }
  }
}

TEST_F(Prepare, ShardsHoldAtMostSoManyTokens) {
  put_corpus();
  options_.validation_share = 0;
  const PreparedDataset dataset = run();
  const std::uint64_t full = dataset.train.tokens / 700;
  for (std::uint64_t i = 0; i <= full; ++i) {
    const std::string name = fmt::format("train/train_{:06}.bin", i);
    const std::uint64_t tokens = i < full ? 700 : dataset.train.tokens % 700;
    EXPECT_EQ(output().at(name).size(), kLlmCHeaderBytes + 2 * tokens);
  }
  EXPECT_EQ(dataset.validation.tokens, 0u);
  for (const auto& [name, content] : output()) EXPECT_FALSE(name.starts_with("val")) << name;
}

TEST_F(Prepare, OtherLayoutsAreOneFileAPart) {
  const Texts all = put_corpus();
  options_.validation_share = 0;
  options_.layout = io::TokenLayout::kNanogpt;
  run();
  EXPECT_EQ(documents("train/train.bin", 0), all);
  std::filesystem::remove_all(options_.output);
  options_.layout = io::TokenLayout::kMegatron;
  run();
  EXPECT_EQ(documents("train/train.bin", 0), all);
  EXPECT_TRUE(output().contains("train/train.idx"));
}

TEST_F(Prepare, TheFolderSaysWhatItIs) {
  put_corpus();
  const PreparedDataset made = run();
  const auto files = output();
  EXPECT_EQ(files.at("tokenizer.json"), tokenizer_.file_content());
  const auto dataset = nlohmann::json::parse(files.at("dataset.json"));
  EXPECT_EQ(dataset.at("program"), "mneme test");
  EXPECT_EQ(dataset.at("layout"), "llm.c");
  EXPECT_EQ(dataset.at("token_bytes"), 2);
  EXPECT_EQ(dataset.at("vocabulary"), 257);
  EXPECT_EQ(dataset.at("separator"), 256);
  EXPECT_EQ(dataset.at("tokenizer").at("file"), "tokenizer.json");
  EXPECT_EQ(dataset.at("train").at("documents"), made.train.documents);
  EXPECT_EQ(dataset.at("validation").at("tokens"), made.validation.tokens);
  EXPECT_EQ(dataset.at("train").at("files").at(0).at("name"), "train/train_000000.bin");
  EXPECT_EQ(dataset.at("options").at("document-separator"), "---");
  ASSERT_EQ(dataset.at("sources").size(), 3u);
  EXPECT_EQ(dataset.at("sources").at(2).at("path"), files_.path("in/c.md"));
  EXPECT_EQ(dataset.at("sources").at(2).at("bytes"), 5001);
}

TEST_F(Prepare, SeparatorsAreChosen) {
  files_.put("in/a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  options_.validation_share = 0;
  const auto tokens = [&](const std::string& separator) {
    options_.separator = separator;
    const std::string stored = expected().at("train/train_000000.bin").substr(kLlmCHeaderBytes);
    std::vector<int> ids;
    for (std::size_t at = 0; at < stored.size(); at += 2) {
      ids.push_back(static_cast<unsigned char>(stored[at]) +
                    256 * static_cast<unsigned char>(stored[at + 1]));
    }
    return ids;
  };
  EXPECT_EQ(tokens("auto"), (std::vector<int>{256, 'a', 256, 'b'}));
  EXPECT_EQ(tokens("<|end|>"), tokens("auto"));
  EXPECT_EQ(tokens("none"), (std::vector<int>{'a', 'b'}));
  EXPECT_EQ(tokens("7"), (std::vector<int>{7, 'a', 7, 'b'}));
  EXPECT_EQ(tokens("|"), (std::vector<int>{'|', 'a', '|', 'b'}));
  for (const char* wrong : {"257", "-1", "<|start|>", ""}) {
    options_.separator = wrong;
    expect_error("--separator");
  }
}

TEST_F(Prepare, TheFirstErrorOfTheInputIsToldAndNothingIsLeftUnderTheName) {
  std::string lines;
  for (int i = 1; i <= 400; ++i) {
    lines += i == 150 || i > 200 ? "{\"text\": 1}\n" : "{\"text\": \"a document\"}\n";
  }
  files_.put("in/a.jsonl", lines);
  files_.put("in/b.txt", "\xff");
  for (const int threads : {1, 2, 4}) {
    options_.threads = threads;
    expect_error(files_.path("in/a.jsonl") + ": line 150:");
    EXPECT_FALSE(disk_.exists(options_.output));
  }
  // Nothing was saved, so that the corrected corpus begins anew by itself.
  files_.put("in/a.jsonl", "{\"text\": \"a\"}\n");
  files_.put("in/b.txt", "b");
  EXPECT_EQ(run().train.documents, 2u);
}

TEST_F(Prepare, ACorpusWithoutTextIsAnError) {
  files_.put("in/a.jsonl", "\n{\"text\": \"\"}\n");
  files_.put("in/b.txt", "");
  expect_error("no text in any of 2 files");
}

TEST_F(Prepare, AnOutputThatIsThereIsLeftAlone) {
  put_corpus();
  files_.put("out/mine", "mine");
  expect_error("is there already");
  EXPECT_EQ(output(), (std::map<std::string, std::string>{{"mine", "mine"}}));
  std::filesystem::remove_all(options_.output);
  std::filesystem::create_symlink(files_.path("nowhere"), options_.output);
  expect_error("is there already");
  std::filesystem::remove(options_.output);
  run();
  const auto made = output();
  expect_error("is there already");
  EXPECT_EQ(output(), made);
}

TEST_F(Prepare, TwoCallsAtOnceAreRefused) {
  put_corpus();
  io::SimulatedDisk disk;  // whose locks have no patience
  options_.output = "/out";
  disk.make_directories("/out.mneme-partial");
  const auto lock = disk.lock("/out.mneme-partial", io::LockKind::kExclusive);
  const std::string message = error_of([&] { prepare(disk, tokenizer_, options_); });
  EXPECT_NE(message.find("another process"), std::string::npos) << message;
}

TEST_F(Prepare, AFolderOfTheWorksNameThatIsSomebodyElsesIsLeftAlone) {
  put_corpus();
  files_.put(std::string("out") + io::kAsideSuffix + "/mine", "mine");
  expect_error("mine");
  options_.restart = true;
  expect_error("mine");
  EXPECT_EQ(files_below(disk_, options_.output + io::kAsideSuffix).at("mine"), "mine");
}

TEST_F(Prepare, InputsAreReadAsTheOptionsSay) {
  files_.put("in/a.jsonl", "{\"text\": \"a\", \"body\": \"b\\ud800\"}\n");
  options_.field = "body";
  expect_error("half of a surrogate pair");
  options_.invalid_utf8 = InvalidUtf8::kReplace;
  options_.validation_share = 0;
  run();
  EXPECT_EQ(documents("train/"), Texts{"b\ufffd"});
}

}  // namespace
}  // namespace mneme::text
