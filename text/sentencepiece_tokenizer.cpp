#include "text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <utility>

#include "io/error.h"
#include "text/sentencepiece_check.h"

namespace mneme::text {
namespace {

constexpr std::string_view kSpace = "\u2581";  // what a piece writes for a space

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string content, const std::string& path);

  std::string kind() const override { return "SentencePiece"; }
  std::int64_t vocabulary() const override { return static_cast<std::int64_t>(bytes_.size()); }
  std::string_view file_content() const override { return content_; }
  std::string file_name() const override { return "tokenizer.model"; }
  std::optional<std::int32_t> separator() const override {
    if (processor_.eos_id() < 0) return {};
    return processor_.eos_id();
  }
  const std::vector<SpecialToken>& special_tokens() const override { return special_tokens_; }
  std::optional<std::int32_t> find_token(std::string_view written) const override {
    const int id = processor_.PieceToId({written.data(), written.size()});
    if (id < 0 || processor_.IdToPiece(id) != written) return {};
    return id;
  }
  std::unique_ptr<Encoder> make_encoder() const override;
  std::string_view token_bytes(std::int32_t id) const override {
    return bytes_[static_cast<std::size_t>(id)];
  }
  DecodeRules decode_rules() const override { return rules_; }
  std::size_t find_cut(std::string_view text, std::size_t from) const override;

  void encode(std::string_view text, const EncodeOptions& options,
              std::vector<std::int32_t>& out) const;

 private:
  std::string bytes_of(int id) const;
  std::string decoded(const std::vector<int>& ids) const;
  DecodeRules::FirstSpace first_space() const;
  bool may_cut() const;

  std::string content_, path_;
  sentencepiece::SentencePieceProcessor processor_;
  std::vector<std::string> bytes_;  // by id
  std::vector<SpecialToken> special_tokens_;
  DecodeRules rules_;
  bool may_cut_ = false;
};

class SentencePieceEncoder : public Encoder {
 public:
  explicit SentencePieceEncoder(const SentencePieceTokenizer& tokenizer) : tokenizer_(tokenizer) {}
  void encode(std::string_view text, const EncodeOptions& options,
              std::vector<std::int32_t>& out) override {
    tokenizer_.encode(text, options, out);
  }

 private:
  const SentencePieceTokenizer& tokenizer_;
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string content, const std::string& path)
    : content_(std::move(content)), path_(path) {
  check_normalization_table(content_, path);
  if (const auto status = processor_.LoadFromSerializedProto(content_); !status.ok()) {
    io::fail("{}: no whole SentencePiece model: {}", path,
             io::printable(status.error_message(), 160));
  }
  const int tokens = processor_.GetPieceSize();
  if (tokens > kMostTokens) {
    io::fail("{}: the model has {} tokens, at most {} are supported", path, tokens, kMostTokens);
  }
  rules_ = {first_space(), io::InvalidUtf8::kEachByte};
  for (int id = 0; id < tokens; ++id) {
    bytes_.push_back(bytes_of(id));
    if (processor_.IsControl(id)) special_tokens_.push_back({processor_.IdToPiece(id), id});
  }
  may_cut_ = may_cut();
}

std::string SentencePieceTokenizer::decoded(const std::vector<int>& ids) const {
  std::string text;
  if (const auto status = processor_.Decode(ids, &text); !status.ok()) {
    io::fail("{}: cannot decode: {}", path_, io::printable(status.error_message(), 160));
  }
  return text;
}

std::string SentencePieceTokenizer::bytes_of(int id) const {
  if (processor_.IsControl(id)) return {};
  if (processor_.IsUnknown(id)) return decoded({id});
  const std::string& piece = processor_.IdToPiece(id);
  if (processor_.IsByte(id)) {
    // "<0x0A>"
    return {static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16))};
  }
  std::string text;
  std::string_view rest = piece;
  while (!rest.empty()) {
    const bool is_space = rest.starts_with(kSpace);
    text += is_space ? std::string_view(" ") : rest.substr(0, 1);
    rest.remove_prefix(is_space ? kSpace.size() : 1);
  }
  return text;
}

// What the library does with spaces in front of a text is not to be asked for; it can be seen.
DecodeRules::FirstSpace SentencePieceTokenizer::first_space() const {
  using FirstSpace = DecodeRules::FirstSpace;
  for (int id = 0; id < processor_.GetPieceSize(); ++id) {
    const std::string& piece = processor_.IdToPiece(id);
    const bool is_word = piece.starts_with(kSpace) && piece.size() > kSpace.size() &&
                         piece.find(kSpace, 1) == std::string::npos && !processor_.IsControl(id) &&
                         !processor_.IsUnknown(id);
    if (!is_word) continue;
    if (decoded({id}).starts_with(' ')) return FirstSpace::kKept;
    const auto space = find_token(kSpace);
    const bool drops_one = space && decoded({*space, id}).starts_with(' ');
    return drops_one ? FirstSpace::kOneDropped : FirstSpace::kAllDropped;
  }
  return FirstSpace::kKept;
}

std::unique_ptr<Encoder> SentencePieceTokenizer::make_encoder() const {
  return std::make_unique<SentencePieceEncoder>(*this);
}

void SentencePieceTokenizer::encode(std::string_view text, const EncodeOptions& options,
                                    std::vector<std::int32_t>& out) const {
  if (options.add_special && processor_.bos_id() >= 0) out.push_back(processor_.bos_id());
  std::vector<int> ids;
  if (const auto status = processor_.Encode({text.data(), text.size()}, &ids); !status.ok()) {
    io::fail("{}: cannot encode \"{}\": {}", path_, io::printable(text, 40),
             io::printable(status.error_message(), 160));
  }
  out.insert(out.end(), ids.begin(), ids.end());
}

// In front of a space behind a letter: no piece lies across where none has a space behind anything
// else, and the space is neither doubled nor lost where a text begins with it.
bool SentencePieceTokenizer::may_cut() const {
  for (int id = 0; id < processor_.GetPieceSize(); ++id) {
    std::string_view piece = processor_.IdToPiece(id);
    while (piece.starts_with(kSpace)) piece.remove_prefix(kSpace.size());
    if (piece.find(kSpace) != std::string_view::npos) return false;
  }
  for (const std::string_view behind : {" b", "  b", " \n b"}) {
    std::vector<std::int32_t> whole, parts;
    encode("a" + std::string(behind), {}, whole);
    encode("a", {}, parts);
    encode(behind, {}, parts);
    if (whole != parts) return false;
  }
  return true;
}

std::size_t SentencePieceTokenizer::find_cut(std::string_view text, std::size_t from) const {
  if (!may_cut_) return std::string_view::npos;
  for (std::size_t at = std::max<std::size_t>(from, 1); at < text.size(); ++at) {
    const char before = text[at - 1];
    const bool is_letter = (before >= 'a' && before <= 'z') || (before >= 'A' && before <= 'Z');
    if (text[at] == ' ' && is_letter) return at;
  }
  return std::string_view::npos;
}

}  // namespace

std::unique_ptr<Tokenizer> parse_sentencepiece(std::string content, const std::string& path) {
  return std::make_unique<SentencePieceTokenizer>(std::move(content), path);
}

}  // namespace mneme::text
