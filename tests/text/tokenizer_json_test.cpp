// tokenizer.json: what its members mean, and what is said of files that are not supported or not
// whole.
#include "text/tokenizer_json.h"

#include <gtest/gtest.h>

#include "tests/text/tokenizer_examples.h"

namespace mneme::text {
namespace {

using nlohmann::json;
using testing::byte_level_json;
using testing::encoded;
using testing::error_of;
using testing::expect_parts;
using testing::Ids;
using testing::opened;

// A file with one change, by a JSON pointer.
json with(const std::string& pointer, const json& value, json file = byte_level_json()) {
  file[json::json_pointer(pointer)] = value;
  return file;
}
json without(const std::string& member, json file = byte_level_json()) {
  file.erase(member);
  return file;
}
json added(const std::string& text, int id, const json& more = json::object()) {
  json token = {{"id", id}, {"content", text}};
  token.update(more);
  return token;
}

// What is said of a file has its path and these parts.
void expect_refused(const json& file, std::vector<std::string> parts) {
  parts.push_back("a/tokenizer.json: ");
  expect_parts(error_of([&] { opened(file); }), parts);
}

TEST(TokenizerJson, BothSpellingsOfMergesAreOne) {
  json file = byte_level_json({{"a", "b"}, {" ", "ab"}});
  const Ids ids = encoded(*opened(file), "ab abb");
  EXPECT_EQ(ids, (Ids{256, 257, 'b'}));
  for (json& merge : file["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  EXPECT_EQ(encoded(*opened(file), "ab abb"), ids);
}

TEST(TokenizerJson, IgnoreMergesTakesWholePiecesFirst) {
  json file = byte_level_json({{"a", "b"}});
  file["model"]["vocab"]["abc"] = 300;
  EXPECT_EQ(encoded(*opened(file), "abc"), (Ids{256, 'c'}));
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(encoded(*opened(file), "abc abc"), (Ids{300, ' ', 256, 'c'}));
}

TEST(TokenizerJson, PrefixSpacesAreAdded) {
  json file = with("/pre_tokenizer/add_prefix_space", true);
  EXPECT_EQ(encoded(*opened(file), "a"), (Ids{' ', 'a'}));
  EXPECT_EQ(encoded(*opened(file), " a"), (Ids{' ', 'a'}));
  EXPECT_EQ(encoded(*opened(file), "\na"), (Ids{' ', '\n', 'a'}));
  EXPECT_EQ(encoded(*opened(file), ""), Ids{});
  file["pre_tokenizer"].erase("add_prefix_space");  // it is true where nothing is said
  EXPECT_EQ(encoded(*opened(file), "a"), (Ids{' ', 'a'}));
  file["added_tokens"].push_back(added("<s>", 256));
  EXPECT_EQ(encoded(*opened(file), "<s>a"), (Ids{256, ' ', 'a'}));
}

TEST(TokenizerJson, PostProcessorsPutTokensAround) {
  json file = byte_level_json();
  file["added_tokens"] = {added("<s>", 256, {{"special", true}}), added("</s>", 257)};
  const auto step = [](const std::string& id) {
    return json{{"SpecialToken", {{"id", id}, {"type_id", 0}}}};
  };
  const json sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  file["post_processor"] = {{"type", "Sequence"},
                            {"processors",
                             {{{"type", "ByteLevel"}},
                              {{"type", "TemplateProcessing"},
                               {"single", {step("<s>"), step("a"), sequence, step("</s>")}}}}}};
  const auto tokenizer = opened(file);
  EXPECT_EQ(encoded(*tokenizer, "x", {.add_special = true}), (Ids{256, 'a', 'x', 257}));
  EXPECT_EQ(encoded(*tokenizer, "x"), (Ids{'x'}));
  ASSERT_EQ(tokenizer->special_tokens().size(), 1u);
  EXPECT_EQ(tokenizer->special_tokens()[0].text, "<s>");
  file["post_processor"] = {{"type", "TemplateProcessing"}, {"single", {step("<none>")}}};
  expect_refused(file, {"post_processor.single.id: the token \"<none>\" is not known"});
}

TEST(TokenizerJson, BytesThatAreMissingAreLeftOutOrUnknown) {
  json file = byte_level_json();
  file["model"]["vocab"].erase("x");
  EXPECT_EQ(encoded(*opened(file), "axb"), (Ids{'a', 'b'}));
  file["model"]["vocab"]["<unk>"] = 300;
  file["model"]["unk_token"] = "<unk>";
  EXPECT_EQ(encoded(*opened(file), "axxb"), (Ids{'a', 300, 300, 'b'}));
  expect_refused(with("/model/fuse_unk", true, file), {"model.fuse_unk"});
  expect_refused(with("/model/unk_token", "<none>", file), {"model.unk_token \"<none>\""});
  // Nothing is unknown where all bytes have tokens.
  EXPECT_EQ(encoded(*opened(with("/model/unk_token", "<none>")), "x"), (Ids{'x'}));
}

TEST(TokenizerJson, AddedTokensKeepTheirIdInTheVocabulary) {
  json file = with("/model/vocab/<s>", 300);
  file["added_tokens"] = {added("<s>", 7), added("\u1e17", 301, {{"normalized", true}})};
  file["normalizer"] = {{"type", "NFD"}};
  EXPECT_EQ(encoded(*opened(file), "<s>"), (Ids{300}));
  EXPECT_EQ(encoded(*opened(file), "e\u0304\u0301\u1e17"), (Ids{301, 301}));
  EXPECT_EQ(opened(file)->find_token("<s>"), 300);
  EXPECT_EQ(opened(file)->vocabulary(), 302);
}

TEST(TokenizerJson, PreTokenizersFollowOneAnother) {
  const json file =
      with("/pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"}, {"pattern", {{"String", "a.b"}}}, {"behavior", "Isolated"}},
              {{"type", "Split"}, {"pattern", {{"Regex", "x+"}}}, {"behavior", "Removed"}},
              {{"type", "Digits"}, {"individual_digits", true}},
              {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}},
           byte_level_json({{"1", "2"}, {"b", "c"}, {".", "b"}}));
  EXPECT_EQ(encoded(*opened(file), "12"), (Ids{'1', '2'}));
  EXPECT_EQ(encoded(*opened(file), "a.bc"), (Ids{'a', 258, 'c'}));
  EXPECT_EQ(encoded(*opened(file), "a-bc"), (Ids{'a', '-', 257}));
  EXPECT_EQ(encoded(*opened(file), "axxb"), (Ids{'a', 'b'}));
}

TEST(TokenizerJson, WhatIsNotSupportedIsNamed) {
  expect_refused(with("/model/type", "Unigram"), {"model.type \"Unigram\"", "known: BPE"});
  expect_refused(with("/model/dropout", 0.1), {"model.dropout"});
  expect_refused(with("/model/byte_fallback", true), {"model.byte_fallback", "tokenizer.model"});
  expect_refused(with("/model/end_of_word_suffix", "</w>"), {"model.end_of_word_suffix"});
  expect_refused(with("/truncation", json::object()), {"truncation"});
  expect_refused(with("/padding", json::object()), {"padding"});
  const json lower = {{"type", "Lowercase"}}, nfc = {{"type", "NFC"}};
  expect_refused(with("/normalizer", lower), {"normalizer.type \"Lowercase\"", "NFC"});
  const json two = {{"type", "Sequence"}, {"normalizers", {nfc, nfc}}};
  expect_refused(with("/normalizer", two), {"more than one normalizer"});
  const auto split = [](const json& part) { return with("/pre_tokenizer", part); };
  expect_refused(split({{"type", "Metaspace"}}), {"pre_tokenizer.type \"Metaspace\"", "Digits"});
  expect_refused(split({{"type", "Digits"}}), {"end with ByteLevel"});
  const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  expect_refused(split({{"type", "Sequence"}, {"pretokenizers", {byte_level, byte_level}}}),
                 {"a pre-tokenizer behind ByteLevel"});
  const json piece = {{"type", "Split"}, {"pattern", {{"Regex", "("}}}, {"behavior", "Isolated"}};
  expect_refused(split(piece), {"the pattern \"(\" cannot be used"});
  expect_refused(split({{"type", "Split"}, {"pattern", {{"X", "("}}}, {"behavior", "Isolated"}}),
                 {"pre_tokenizer.pattern", "Regex and String"});
  expect_refused(split({{"type", "Split"}, {"pattern", {{"String", "("}}}, {"behavior", "Other"}}),
                 {"pre_tokenizer.behavior \"Other\""});
  expect_refused(split({{"type", "Sequence"},
                        {"pretokenizers", {{{"type", "Digits"}}, {{"type", "ByteLevel"}}}}}),
                 {"add_prefix_space behind other splits"});
  expect_refused(with("/post_processor", {{"type", "Bert"}}), {"post_processor.type \"Bert\""});
  expect_refused(with("/decoder", {{"type", "Metaspace"}}), {"decoder.type \"Metaspace\""});
}

TEST(TokenizerJson, MembersOfTheWrongKindAreNamed) {
  expect_refused(json(7), {"its content is no object"});
  expect_refused(without("model"), {"model is missing"});
  expect_refused(without("decoder"), {"decoder is missing"});
  expect_refused(without("pre_tokenizer"), {"pre_tokenizer is missing"});
  expect_refused(with("/model", 3), {"model is no object"});
  expect_refused(with("/model/merges", 3), {"model.merges is no list"});
  expect_refused(with("/model/vocab", json::array()), {"model.vocab is no object"});
  expect_refused(with("/model/vocab", json::object()), {"model.vocab has no tokens"});
  expect_refused(with("/model/ignore_merges", "yes"), {"model.ignore_merges is neither true"});
  expect_refused(with("/decoder/type", 3), {"decoder.type is no string"});
  expect_refused(with("/added_tokens", json::array({{{"id", 3}}})),
                 {"added_tokens[0].content is missing"});
  expect_refused(with("/added_tokens", json::array({{{"content", "<x>"}}})),
                 {"added_tokens[0].id is missing"});
}

TEST(TokenizerJson, IdsHaveTheirRangeAndOneTokenEach) {
  for (const json& id : {json(-1), json(1 << 18), json(1.5), json("7"), json(1e99)}) {
    expect_refused(with("/model/vocab/<x>", id), {"model.vocab.\"<x>\" is no token id", "262143"});
    expect_refused(with("/added_tokens", json::array({{{"content", "<x>"}, {"id", id}}})),
                   {"added_tokens[0].id is no token id"});
  }
  EXPECT_EQ(opened(with("/model/vocab/<x>", (1 << 18) - 1))->vocabulary(), 1 << 18);
  expect_refused(with("/model/vocab/<x>", 'a'), {"id 97 belongs to two tokens", "\"<x>\""});
  expect_refused(with("/added_tokens", json::array({added("<x>", 'a')})),
                 {"id 97 belongs to two tokens"});
  std::string twice = byte_level_json().dump();
  const std::string a = "\"a\":97";
  ASSERT_NE(twice.find(a), std::string::npos);
  twice.replace(twice.find(a), a.size(), a + "," + a);
  expect_parts(error_of([&] { parse_tokenizer_json(twice, "a/tokenizer.json"); }),
               {"a/tokenizer.json: the token \"a\" is twice in model.vocab"});
}

TEST(TokenizerJson, MergesThatCannotBeAreNamed) {
  const auto merges = [](const json& list) { return with("/model/merges", list); };
  expect_refused(merges(json::array({"a b"})), {"model.merges[0]: \"ab\" is not in model.vocab"});
  expect_refused(merges(json::array({{"\u4e2d", "b"}})),
                 {"model.merges[0]: \"\u4e2d\" is not in model.vocab"});
  expect_refused(merges(json::array({"ab"})), {"model.merges[0] \"ab\" is no pair"});
  expect_refused(merges(json::array({"a b c"})), {"model.merges[0] \"a b c\" is no pair"});
  expect_refused(merges(json::array({{"a", "b", "c"}})), {"model.merges[0] is no pair"});
  expect_refused(merges(json::array({{"a", 3}})), {"model.merges[0] is no string"});
  expect_refused(merges(json::array({7})), {"model.merges[0] is no string"});
  // With an empty part a token would become itself, again and again.
  expect_refused(merges(json::array({"a "})), {"model.merges[0] joins an empty token"});
  expect_refused(merges(json::array({{"", "a"}})), {"model.merges[0] joins an empty token"});
}

TEST(TokenizerJson, CutShortIsAnErrorAtEveryByte) {
  const std::string content = byte_level_json({{"a", "b"}, {" ", "ab"}}).dump(1);
  for (std::size_t bytes = 0; bytes < content.size(); ++bytes) {
    const std::string message =
        error_of([&] { parse_tokenizer_json(content.substr(0, bytes), "a/tokenizer.json"); });
    ASSERT_NE(message, "") << bytes;
    expect_parts(message, {"a/tokenizer.json: not whole or no JSON: "});
  }
  expect_parts(error_of([&] { parse_tokenizer_json("{\n \"a\": x}", "a/tokenizer.json"); }),
               {"at line 2"});
}

TEST(TokenizerJson, DeepNestingIsAnError) {
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += open;
    expect_parts(error_of([&] { parse_tokenizer_json(deep, "a/tokenizer.json"); }),
                 {"a/tokenizer.json: not whole or no JSON: "});
  }
}

}  // namespace
}  // namespace mneme::text
