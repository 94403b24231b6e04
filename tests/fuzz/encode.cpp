// Input: which tokenizer, and a text. Text that may be cut gives the tokens of the whole, and
// byte-level tokens the text itself.
#include "tests/fuzz/fixed_tokenizers.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mneme;
  fuzz::Input input(data, size);
  const auto& tokenizers = fuzz::tokenizers();
  const unsigned how = input.byte();
  const std::size_t which = how % 16 % tokenizers.size();
  const text::Tokenizer& tokenizer = *tokenizers[which];
  std::string text;
  io::append_valid_utf8(input.rest(), text);

  // Each has a cache of words, as long as this program runs.
  static const auto encoders = [&] {
    std::vector<std::unique_ptr<text::Encoder>> made;
    for (const auto& one : tokenizers) made.push_back(one->make_encoder());
    return made;
  }();
  std::vector<std::int32_t> whole, again, parts;
  encoders[which]->encode(text, {}, whole);
  if (how >= 0xf0) {  // seldom, since making one takes longer than all else
    tokenizer.make_encoder()->encode(text, {}, again);
    CHECK(whole == again);
  }
  const std::size_t cut = tokenizer.find_cut(text, text.size() / 2);
  if (cut < text.size() && tokenizer.kind() != "bytes") {
    encoders[which]->encode(std::string_view(text).substr(0, cut), {}, parts);
    encoders[which]->encode(std::string_view(text).substr(cut), {}, parts);
    CHECK(parts == whole);
  }
  const std::string decoded = text::decode(tokenizer, whole);
  CHECK(!io::find_invalid_utf8(decoded));
  const bool takes_white_space = text.find("[M]") != std::string::npos;
  if ((which == 0 && !takes_white_space) || (which >= 3 && which <= 5)) CHECK(decoded == text);
  return 0;
}
