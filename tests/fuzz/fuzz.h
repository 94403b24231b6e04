// What the fuzzers share: libFuzzer calls LLVMFuzzerTestOneInput with ever other bytes. Each must
// be an Error of one line, or work; all else ends the program, and libFuzzer keeps the bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/check.h"
#include "io/error.h"
#include "io/utf8.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace mneme::fuzz {

// Calls act(); an Error has to be one line of text that can be printed.
template <typename Act>
void allow_error(const Act& act) {
  try {
    act();
  } catch (const io::Error& error) {
    const std::string_view message = error.what();
    CHECK(!message.empty());
    CHECK(message.find('\n') == std::string_view::npos);
  }
}

// Takes numbers off the front of an input, which say how the rest is used; 0 behind its end.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// Encodes a text and all that can be done with the ids.
inline void use_tokenizer(const text::Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> ids;
  const auto encoder = tokenizer.make_encoder();
  encoder->encode(text, {.special_in_text = true, .add_special = true}, ids);
  encoder->encode(text, {.special_in_text = false, .add_special = false}, ids);
  for (const std::int32_t id : ids) CHECK(id >= 0 && id < tokenizer.vocabulary());
  for (std::int32_t id = 0; id < std::min<std::int64_t>(tokenizer.vocabulary(), 1000); ++id) {
    ids.push_back(id);
  }
  CHECK(!io::find_invalid_utf8(text::decode(tokenizer, ids)));
  text::decode(tokenizer, ids, false);
  tokenizer.find_cut(text, 0);
  tokenizer.separator();
  tokenizer.find_token(text.substr(0, 3));
}

// Letters, digits, marks, white space of many kinds, tokens of published tokenizers.
inline constexpr std::string_view kText =
    "The quick  brown fox's <pad><s> \u4e2d\u6587 caf\u00e9 cafe\u0301\u0323 12345 "
    "\ufb01\u212b\r\n\t"
    "\u00a0\u2028\u3000\u302c\u302a \U0001f600\u200d <|endoftext|> <0x0A> aaaaaaaa the them _x_ ";

}  // namespace mneme::fuzz
