// Small valid inputs of each fuzzer, from which it makes others. make_seeds FOLDER
#include <filesystem>
#include <fstream>

#include "tests/io/token_examples.h"
#include "tests/text/corpus/corpus_files.h"
#include "tests/text/sentencepiece_models.h"
#include "tests/text/tokenizer_examples.h"

namespace {

using namespace mneme;

class Seeds {
 public:
  explicit Seeds(std::string folder) : folder_(std::move(folder)) {}
  void put(const std::string& fuzzer, const std::string& content) {
    const std::string folder = folder_ + "/" + fuzzer;
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/" + std::to_string(count_++), std::ios::binary) << content;
  }

 private:
  std::string folder_;
  int count_ = 0;
};

void put_tokenizers(Seeds& seeds) {
  nlohmann::json file = text::testing::byte_level_json({{"t", "h"}, {"th", "e"}});
  seeds.put("tokenizer_json", file.dump());
  file["added_tokens"] = {{{"id", 300}, {"content", "<s>"}, {"special", true}, {"lstrip", true}},
                          {{"id", 301}, {"content", "the"}, {"single_word", true}}};
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFKC"}}}}};
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {{{"SpecialToken", {{"id", "<s>"}}}}}}};
  file["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"},
         {"pattern", {{"Regex", "\\p{L}+|\\s+(?!\\S)|[^a]"}}},
         {"behavior", "MergedWithPrevious"},
         {"invert", true}},
        {{"type", "Digits"}, {"individual_digits", true}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}}}};
  // Without most bytes it is short.
  nlohmann::json few = file;
  few["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"ab", 2}, {"<unk>", 3}};
  few["model"]["merges"] = {"a b"};
  few["model"]["unk_token"] = "<unk>";
  seeds.put("tokenizer_json", file.dump());
  seeds.put("tokenizer_json", few.dump());
  few["pre_tokenizer"] = {{"type", "ByteLevel"}};
  few["model"]["ignore_merges"] = true;
  seeds.put("tokenizer_json", few.dump(1));
  seeds.put("tiktoken", text::testing::tiktoken_content());
  seeds.put("tiktoken", text::testing::tiktoken_content({"he", "the", " the", "  "}));
}

void put_sentencepiece(Seeds& seeds) {
  using namespace text::testing;
  for (const std::string type : {"bpe", "unigram", "char", "word"}) {
    for (const std::string rule : {"identity", "nmt_nfkc"}) {
      seeds.put("sentencepiece", trained_model({{"model_type", type},
                                                {"normalization_rule_name", rule},
                                                {"user_defined_symbols", "<pad>,the"}}));
    }
  }
  const std::string unknown = piece_field("<unk>", 0, kUnknown);
  for (const std::uint64_t type : {1, 2, 3, 4}) {
    seeds.put("sentencepiece", unknown + piece_field("a", -1) +
                                   piece_field("aa", -1, kUserDefined) + piece_field("\u2581", -2) +
                                   trainer_field(type) +
                                   normalizer_field({.table = {}, .adds_space = true}));
  }
}

std::string text_of(const test::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void put_token_files(Seeds& seeds) {
  for (const test::TokenKind& kind : test::kTokenKinds) {
    const auto files =
        test::token_files(kind.layout, kind.width, test::example_documents(kind.width));
    std::string seed(1, static_cast<char>(kind.layout));
    if (kind.layout == io::TokenLayout::kMegatron) {
      const std::string index = text_of(files.at(".idx"));
      seed += static_cast<char>(index.size() & 255);
      seed += static_cast<char>(index.size() >> 8);
      seed += index;
    }
    seeds.put("token_file", seed + text_of(files.at(".bin")));
  }
}

void put_corpora(Seeds& seeds) {
  const std::string text =
      "\ufeffOne caf\u00e9.\n---\nTwo\r\n\r\n\u4e2d\u6587 three\n\nfour \xff\n";
  const std::string lines =
      "{\"text\": \"One\"}\n\n{\"id\": [1, {\"a\": null}], \"text\": "
      "\"\\u4e2d\\ud83d\\ude00\\n\"}\r\n{\"text\":\"\\ud800 \xff\"}";
  for (int how = 0; how < 32; ++how) {
    const std::string& content = how & 16 ? lines : text;
    seeds.put("corpus", static_cast<char>(how) + content);
    seeds.put("corpus", static_cast<char>(how | 32) + text::testing::gzipped(content));
    seeds.put("corpus", static_cast<char>(how | 96) + text::testing::zstandard(content));
  }
  for (const std::string how : {std::string(1, '\0'), std::string("\1")}) {
    seeds.put("json_record", how + "{\"text\": \"One\"}");
    seeds.put("json_record",
              how + "{\"n\": 1e999, \"text\": \"\\u4e2d\\ud83d\\ude00\", \"text\": \"\"}");
    seeds.put("json_record", how + "{\"a\": [[{}], true, -1.5], \"text\": \"\\ud800 \xff\\\\\"} ");
  }
}

void put_texts(Seeds& seeds) {
  std::mt19937 random(1);
  for (int which = 0; which < 11; ++which) {
    seeds.put("encode",
              static_cast<char>(which) + text::testing::random_text(random, 20) + "[M] word");
    std::string ids(2, static_cast<char>(which));
    for (int i = 0; i < 20; ++i) {
      ids += static_cast<char>(random() % 256);
      ids += static_cast<char>(random() % 2);
    }
    seeds.put("decode", ids);
  }
}

}  // namespace

int main(int, char** arguments) {
  Seeds seeds(arguments[1]);
  put_tokenizers(seeds);
  put_sentencepiece(seeds);
  put_token_files(seeds);
  put_corpora(seeds);
  put_texts(seeds);
}
