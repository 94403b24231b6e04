// Input: the content of a SentencePiece model.
#include "tests/fuzz/fuzz.h"
#include "text/sentencepiece_tokenizer.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mneme;
  fuzz::allow_error([&] {
    const auto tokenizer =
        text::parse_sentencepiece({reinterpret_cast<const char*>(data), size}, "tokenizer.model");
    fuzz::use_tokenizer(*tokenizer, fuzz::kText);
  });
  return 0;
}
