// mneme tokenizer info: what a tokenizer is.
#include "tools/mneme/tokenizer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/utf8.h"

namespace mneme::tools {

std::unique_ptr<text::Tokenizer> open_tokenizer(const TokenizerFile& file) {
  return file.path == "bytes" ? text::make_byte_tokenizer()
                              : text::open_tokenizer(file.path, file.encoding);
}

int run_tokenizer_info(const TokenizerInfoOptions& options) {
  const auto tokenizer = open_tokenizer(options.tokenizer);
  const auto separator = tokenizer->separator();
  std::int64_t tokens = 0;
  for (std::int32_t id = 0; id < tokenizer->vocabulary(); ++id) {
    tokens += !tokenizer->token_bytes(id).empty();
  }
  if (options.json) {
    nlohmann::ordered_json special = nlohmann::ordered_json::array();
    for (const text::SpecialToken& token : tokenizer->special_tokens()) {
      special.push_back({{"id", token.id}, {"text", io::bytes_to_utf8(token.text)}});
    }
    const nlohmann::ordered_json info = {
        {"kind", tokenizer->kind()},
        {"vocabulary", tokenizer->vocabulary()},
        {"tokens_with_text", tokens},
        {"separator", separator ? nlohmann::ordered_json(*separator) : nullptr},
        {"special_tokens", special}};
    fmt::print("{}\n", info.dump(2));
    return 0;
  }
  fmt::print("{}\n", tokenizer->kind());
  fmt::print("vocabulary: {} (ids 0 to {}), {} tokens with text\n", tokenizer->vocabulary(),
             tokenizer->vocabulary() - 1, tokens);
  fmt::print("between documents: {}\n",
             separator ? fmt::format("token {}", *separator) : "nothing that is known");
  constexpr std::size_t kShown = 10;
  const auto& special = tokenizer->special_tokens();
  fmt::print("special tokens: {}\n", special.size());
  for (std::size_t i = 0; i < std::min(special.size(), kShown); ++i) {
    fmt::print("  {:>6}  {}\n", special[i].id, io::printable(special[i].text));
  }
  if (special.size() > kShown) fmt::print("  and {} more (--json)\n", special.size() - kShown);
  return 0;
}

}  // namespace mneme::tools
