// Input: the content of a tiktoken file.
#include "text/tiktoken_file.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mneme;
  const std::string content(reinterpret_cast<const char*>(data), size);
  text::is_tiktoken(content);
  for (const char* encoding : {"auto", "o200k_base"}) {
    fuzz::allow_error([&] {
      const auto tokenizer =
          text::make_byte_pair_tokenizer(text::parse_tiktoken(content, "x.tiktoken", encoding));
      fuzz::use_tokenizer(*tokenizer, fuzz::kText);
    });
  }
  return 0;
}
