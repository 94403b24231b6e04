#include <array>

#include "text/tokenizer.h"

namespace mneme::text {
namespace {

class ByteEncoder : public Encoder {
 public:
  void encode(std::string_view text, const EncodeOptions&,
              std::vector<std::int32_t>& out) override {
    for (const char byte : text) out.push_back(static_cast<unsigned char>(byte));
  }
};

class ByteTokenizer : public Tokenizer {
 public:
  ByteTokenizer() {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i);
  }
  std::string kind() const override { return "bytes"; }
  std::int64_t vocabulary() const override { return 256; }
  std::string_view file_content() const override { return {}; }
  std::string file_name() const override { return {}; }
  std::optional<std::int32_t> separator() const override { return {}; }
  const std::vector<SpecialToken>& special_tokens() const override { return special_tokens_; }
  std::optional<std::int32_t> find_token(std::string_view written) const override {
    if (written.size() != 1) return {};
    return static_cast<unsigned char>(written[0]);
  }
  std::unique_ptr<Encoder> make_encoder() const override { return std::make_unique<ByteEncoder>(); }
  std::string_view token_bytes(std::int32_t id) const override {
    return {&bytes_[static_cast<std::size_t>(id)], 1};
  }
  std::size_t find_cut(std::string_view text, std::size_t from) const override {
    return from < text.size() ? from : std::string_view::npos;
  }

 private:
  std::array<char, 256> bytes_;
  std::vector<SpecialToken> special_tokens_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer() {
  return std::make_unique<ByteTokenizer>();
}

}  // namespace mneme::text
