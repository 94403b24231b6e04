// mneme tokenizer: what it says of a tokenizer, text to ids and back, and what it says of input
// that cannot be used.
#include <nlohmann/json.hpp>

#include "tests/text/tokenizer_examples.h"
#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

class Tokenizer : public BadInput {
 protected:
  Tokenizer() {
    nlohmann::json file = text::testing::byte_level_json({{"a", "b"}});
    file["added_tokens"] = {{{"id", 257}, {"content", "<|endoftext|>"}, {"special", true}},
                            {{"id", 300}, {"content", "<x>"}}};
    put(json_, file.dump());
    put(tiktoken_, text::testing::tiktoken_content({"ab"}));
  }
  std::string output(const Words& words) {
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << finished.error;
    EXPECT_EQ(finished.error, "");
    return finished.output;
  }
  // A file with this content.
  std::string with(const std::string& content) {
    put(run_.path("input"), content);
    return run_.path("input");
  }

  std::string json_ = run_.path("tokenizer.json");
  std::string tiktoken_ = run_.path("x.tiktoken");
};

TEST_F(Tokenizer, IsTold) {
  const nlohmann::json told = nlohmann::json::parse(output({"tokenizer", "info", json_, "--json"}));
  EXPECT_EQ(told.at("kind"), "byte-level BPE (tokenizer.json)");
  EXPECT_EQ(told.at("vocabulary"), 301);
  EXPECT_EQ(told.at("tokens_with_text"), 259);
  EXPECT_EQ(told.at("separator"), 257);
  EXPECT_EQ(told.at("special_tokens").size(), 1u);
  EXPECT_NE(output({"tokenizer", "info", json_}).find("between documents: token 257"),
            std::string::npos);
  EXPECT_NE(output({"tokenizer", "info", tiktoken_, "--encoding", "llama3"}).find("llama3"),
            std::string::npos);
  nlohmann::json many = text::testing::byte_level_json();
  for (int id = 256; id < 270; ++id) {
    many["added_tokens"].push_back(
        {{"id", id}, {"content", std::to_string(id) + ">"}, {"special", true}});
  }
  const std::string file = with(many.dump());
  EXPECT_NE(output({"tokenizer", "info", file}).find("and 4 more (--json)"), std::string::npos);
  const auto all = nlohmann::json::parse(output({"tokenizer", "info", file, "--json"}));
  EXPECT_EQ(all.at("special_tokens").size(), 14u);
  EXPECT_NE(output({"tokenizer", "info", "bytes"}).find("vocabulary: 256 (ids 0 to 255)"),
            std::string::npos);
}

TEST_F(Tokenizer, NamesThatAreNoUtf8AreTold) {
  // A SentencePiece model: <unk>, and a control piece of one byte.
  const std::string model("\x0a\x09\x0a\x05<unk>\x18\x02\x0a\x05\x0a\x01\xff\x18\x03", 18);
  const std::string file = with(model +
                                "\x0a\x05\x0a\x01"
                                "a\x18\x01\x12\x02\x18\x02");
  EXPECT_NE(output({"tokenizer", "info", file}).find("\\xFF"), std::string::npos);
  const auto told = nlohmann::json::parse(output({"tokenizer", "info", file, "--json"}));
  EXPECT_EQ(told.at("special_tokens").at(0).at("text"), "\uefff");
}

TEST_F(Tokenizer, EncodesAndDecodes) {
  const std::string text = "ab <|endoftext|>\n";
  const std::string file = with(text);
  EXPECT_EQ(output({"tokenizer", "encode", json_, file}), "256 32 257 10\n");
  EXPECT_EQ(output({"tokenizer", "encode", json_, "--text", "ab"}), "256\n");
  EXPECT_EQ(output({"tokenizer", "encode", tiktoken_, "--encoding", "r50k_base", "--text", "ab"}),
            "256\n");
  EXPECT_EQ(output({"tokenizer", "encode", json_, "--text", "<x>", "--plain-special"}), "300\n");
  const std::string ids = with("256 32\n\n257\t10\r\n");
  EXPECT_EQ(output({"tokenizer", "decode", json_, ids}), text + "\n");
  EXPECT_EQ(output({"tokenizer", "decode", json_, ids, "--skip-special"}), "ab \n\n");
}

TEST_F(Tokenizer, JsonLinesAreOneTextEach) {
  const std::string lines = with("\"ab\"\n\n\"\\u0000\\ud83d\\ude00\"\r\n\"\"\n");
  const std::string ids = output({"tokenizer", "encode", json_, lines, "--json-lines"});
  EXPECT_EQ(ids, "[256]\n[0,240,159,152,128]\n[]\n");
  EXPECT_EQ(output({"tokenizer", "decode", json_, with(ids), "--json-lines"}),
            "\"ab\"\n\"\\u0000\U0001f600\"\n\"\"\n");
}

TEST_F(Tokenizer, IsTrainedForACorpusAndMakesTokensOfIt) {
  std::string corpus;
  for (int i = 0; i < 200; ++i)
    corpus += "the quick brown fox jumps over the lazy dog " + std::to_string(i) + "\n";
  const std::string path = run_.path("corpus.txt"), model = run_.path("own.model");
  put(path, corpus);
  const Finished trained =
      run({"tokenizer", "train", path, "--vocabulary", "300", "--output", model});
  ASSERT_EQ(trained.status, 0) << trained.error;
  const std::string next = trained.output + trained.error;
  EXPECT_NE(next.find("next: mneme prepare " + path + " --tokenizer " + model + " --output"),
            std::string::npos)
      << next;
  const Finished prepared =
      run({"prepare", path, "--tokenizer", model, "--output", run_.path("tokens")});
  EXPECT_EQ(prepared.status, 0) << prepared.error;
  EXPECT_EQ(nlohmann::json::parse(output({"tokenizer", "info", model, "--json"})).at("kind"),
            "SentencePiece");
}

TEST_F(Tokenizer, BadInputIsNamedWithItsLine) {
  const Words encode = {"tokenizer", "encode", json_, run_.path("input")};
  const Words decode = {"tokenizer", "decode", json_, run_.path("input")};
  const auto lines = [](Words words) {
    words.push_back("--json-lines");
    return words;
  };
  const auto place = [&](int line) {
    return run_.path("input") + ":" + std::to_string(line) + ": ";
  };
  with("a\nb\xff");
  expect_refused(encode, {place(2), "is not UTF-8 at byte 3"});
  with("\n\"b");
  expect_refused(lines(encode), {place(2), "is no JSON"});
  with("\n[1]");
  expect_refused(lines(encode), {place(2), "is no JSON string"});
  with("1 2\n3 4x 5");
  expect_refused(decode, {place(2), "\"4x 5\" is no token id"});
  with("1\n\n301");
  expect_refused(decode, {place(3), "token 301 is outside the tokenizer's vocabulary of 301"});
  with("-1");
  expect_refused(decode, {place(1), "token -1 is outside"});
  with("\n[2, 301]");
  expect_refused(lines(decode), {place(2), "token 301 is outside"});
  with("\n[2, 1.5]");
  expect_refused(lines(decode), {place(2), "entry 2 of the list is no token id"});
  with("{}");
  expect_refused(lines(decode), {place(1), "is no list of token ids"});
  std::string deep(1'000'000, '[');
  with(deep + std::string(deep.size(), ']'));
  expect_refused(lines(decode), {place(1), "entry 1 of the list is no token id"});
  expect_refused(lines(encode), {place(1), "is no JSON string"});
  with("");
  EXPECT_EQ(output(encode), "\n");
  EXPECT_EQ(output(decode), "\n");
}

TEST_F(Tokenizer, FilesThatAreNoTokenizersAreNamed) {
  const auto refused = [&](const std::string& content, Words parts) {
    const std::string file = with(content);
    parts.push_back(file);
    expect_refused({"tokenizer", "info", file}, parts);
  };
  refused("", {"empty"});
  refused("{\n\"model\": }", {"at line 2"});
  refused("{}", {"model is missing"});
  refused("YQ== 0\nYg== x\n", {"input:2: not a token in base64"});
  refused(text::testing::tiktoken_content(), {"no known encoding has its 256 tokens"});
  refused("This is a text.", {"no whole SentencePiece model"});
  refused(std::string("\x0a\x05\x0a\x01"
                      "a\x18\x01",
                      7),
          {"unk is not defined"});
  expect_refused({"tokenizer", "info", run_.path("none")}, {run_.path("none"), "check the path"});
  expect_refused({"tokenizer", "info", folder_}, {folder_, "is a folder", "tokenizer.json"});
  expect_refused({"tokenizer", "info", tiktoken_, "--encoding", "gpt9"},
                 {tiktoken_, "\"gpt9\" is not known"});
}

}  // namespace
}  // namespace mneme::test
