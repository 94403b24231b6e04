// Input: which tokenizer, and ids. Token by token they give the text that they give together, in
// whole characters.
#include "tests/fuzz/fixed_tokenizers.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mneme;
  fuzz::Input input(data, size);
  const auto& tokenizers = fuzz::tokenizers();
  const text::Tokenizer& tokenizer = *tokenizers[input.byte() % tokenizers.size()];
  const bool with_special = input.byte() % 2 == 0;
  std::vector<std::int32_t> ids;
  while (!input.rest().empty()) {
    const int id = input.byte() | input.byte() << 8;
    ids.push_back(id == 0xffff ? -1 : static_cast<std::int32_t>(id % (tokenizer.vocabulary() + 1)));
  }
  fuzz::allow_error([&] {
    text::StreamDecoder stream(tokenizer, with_special);
    std::string streamed, bytes;
    for (const std::int32_t id : ids) {
      const std::string piece = stream.add(id);
      CHECK(!io::find_invalid_utf8(piece));
      bytes += tokenizer.token_bytes(id);
      streamed += piece;
    }
    streamed += stream.finish();
    CHECK(streamed == text::decode(tokenizer, ids, with_special));
    // All bytes at once, where nothing stands between them.
    if (with_special && tokenizer.kind() != "SentencePiece") {
      std::string together;
      io::append_valid_utf8(bytes, together);
      CHECK(streamed == together);
    }
  });
  return 0;
}
