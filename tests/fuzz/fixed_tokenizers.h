// One tokenizer of each kind, for what is encoded and decoded.
#pragma once

#include <memory>
#include <vector>

#include "tests/text/sentencepiece_models.h"
#include "tests/text/tokenizer_examples.h"
#include "text/sentencepiece_tokenizer.h"

namespace mneme::fuzz {

inline std::unique_ptr<text::Tokenizer> byte_level(const char* form) {
  nlohmann::json file = text::testing::byte_level_json(
      {{"h", "e"}, {"t", "he"}, {" ", "the"}, {" ", " "}, {"  ", "  "}, {"\xe4", "\xb8"}});
  if (form) file["normalizer"] = {{"type", form}};
  file["added_tokens"] = {{{"id", 300}, {"content", "<s>"}, {"special", true}},
                          {{"id", 301}, {"content", "[M]"}, {"lstrip", true}, {"rstrip", true}},
                          {{"id", 302}, {"content", "word"}, {"single_word", true}}};
  return text::testing::opened(file);
}

inline const std::vector<std::unique_ptr<text::Tokenizer>>& tokenizers() {
  static const std::vector<std::unique_ptr<text::Tokenizer>> all = [] {
    using text::testing::trained_model;
    std::vector<std::unique_ptr<text::Tokenizer>> made;
    made.push_back(byte_level(nullptr));
    made.push_back(byte_level("NFKC"));
    made.push_back(byte_level("NFD"));
    for (const char* encoding : {"cl100k_base", "o200k_base", "llama3"}) {
      made.push_back(
          text::testing::opened(text::testing::tiktoken_content({"  ", "he", "the"}), encoding));
    }
    const auto add = [&](std::unordered_map<std::string, std::string> options) {
      made.push_back(text::parse_sentencepiece(trained_model(std::move(options)), "x.model"));
    };
    add({{"model_type", "bpe"}});
    add({{"model_type", "unigram"}, {"normalization_rule_name", "nfkc_cf"}});
    add({{"model_type", "bpe"},
         {"byte_fallback", "true"},
         {"vocab_size", "340"},
         {"normalization_rule_name", "identity"},
         {"add_dummy_prefix", "false"},
         {"remove_extra_whitespaces", "false"}});
    add({{"model_type", "unigram"}, {"byte_fallback", "true"}, {"vocab_size", "340"}});
    made.push_back(text::make_byte_tokenizer());
    return made;
  }();
  return all;
}

}  // namespace mneme::fuzz
