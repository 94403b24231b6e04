// Input: the content of a tokenizer.json.
#include "text/tokenizer_json.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mneme;
  fuzz::allow_error([&] {
    const auto tokenizer = text::make_byte_pair_tokenizer(
        text::parse_tokenizer_json({reinterpret_cast<const char*>(data), size}, "tokenizer.json"));
    fuzz::use_tokenizer(*tokenizer, fuzz::kText);
  });
  return 0;
}
