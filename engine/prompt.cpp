#include "engine/prompt.h"

#include "io/error.h"
#include "io/utf8.h"

namespace mneme::engine {

std::string prompt_problem(std::string_view prompt, std::int64_t vocabulary) {
  if (prompt.empty()) {
    return "a sample needs a prompt of at least one character; set sample.prompt, or "
           "sample.tokens = 0 for no samples";
  }
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    const int token = static_cast<unsigned char>(prompt[i]);
    if (token < vocabulary) continue;
    return fmt::format(
        "byte {} of the prompt \"{}\" is token {}, outside data.vocabulary {}; set sample.prompt "
        "to bytes below {} (\"\\u0001\" is the byte 1), or sample.tokens = 0 for no samples",
        i + 1, io::printable(prompt, 40), token, vocabulary, vocabulary);
  }
  return {};
}

std::vector<std::int32_t> prompt_tokens(std::string_view prompt, const text::Tokenizer* tokenizer,
                                        std::int64_t vocabulary) {
  std::vector<std::int32_t> tokens;
  if (tokenizer != nullptr && !tokenizer->file_name().empty()) {
    if (const auto at = io::find_invalid_utf8(prompt)) {
      io::fail("sample.prompt: byte {} of \"{}\" is no UTF-8", *at + 1, io::printable(prompt, 40));
    }
    tokenizer->make_encoder()->encode(prompt, {}, tokens);
    if (tokens.empty()) {
      io::fail("sample.prompt: the tokenizer makes no token of \"{}\"; give another prompt",
               io::printable(prompt, 40));
    }
    return tokens;
  }
  if (const std::string problem = prompt_problem(prompt, vocabulary); !problem.empty()) {
    io::fail("sample.prompt: {}", problem);
  }
  for (const char byte : prompt) tokens.push_back(static_cast<unsigned char>(byte));
  return tokens;
}

}  // namespace mneme::engine
