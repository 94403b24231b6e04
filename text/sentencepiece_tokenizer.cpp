#include "text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <utility>

#include "io/check.h"
#include "io/error.h"
#include "text/sentencepiece_model.h"
#include "text/unigram.h"
#include "text/word_cache.h"

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

  bool begins_with_space(std::int32_t id) const override {
    return begins_with_space_[static_cast<std::size_t>(id)];
  }

 private:
  friend class SentencePieceEncoder;
  void load();
  std::string bytes_of(int id) const;
  // The normalized text that a piece stands for when a text is encoded: the piece itself, or the
  // byte that it falls back to.
  std::string_view text_of(const std::string& piece) const;
  std::optional<std::array<int, 256>> find_byte_ids() const;
  std::string decoded(const std::vector<int>& ids) const;
  DecodeRules::FirstSpace first_space() const;
  // How a word that begins with a space behind an ASCII character is encoded alone, so that the
  // words' tokens one behind the other are those of the text.
  enum class Words {
    kUnknown,       // not at all
    kWithSpace,     // as it is
    kWithoutSpace,  // without the space, which the library puts in front of every text
  };
  Words find_words() const;
  // Where the next word begins, behind `from`.
  std::size_t next_word(std::string_view text, std::size_t from) const;

  std::string content_, path_;
  sentencepiece::SentencePieceProcessor processor_;
  int unknown_id_ = 0;
  std::optional<Unigram> unigram_;                // of such a model
  std::optional<std::array<int, 256>> byte_ids_;  // of a model with byte fallback
  std::vector<std::string> bytes_;                // by id
  std::vector<bool> begins_with_space_;           // by id
  std::vector<SpecialToken> special_tokens_;
  DecodeRules rules_;
  Words words_ = Words::kUnknown;
};

class SentencePieceEncoder : public Encoder {
 public:
  explicit SentencePieceEncoder(const SentencePieceTokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void encode(std::string_view text, const EncodeOptions& options,
              std::vector<std::int32_t>& out) override {
    const auto& processor = tokenizer_.processor_;
    if (options.add_special && processor.bos_id() >= 0) out.push_back(processor.bos_id());
    if (tokenizer_.unigram_) return encode_unigram(text, out);
    // Word by word, where that makes no difference: the library does not know words again, and
    // takes longer for long texts.
    const bool drops_space = tokenizer_.words_ == SentencePieceTokenizer::Words::kWithoutSpace;
    for (bool is_first = true; !text.empty(); is_first = false) {
      const std::size_t end = std::min(tokenizer_.next_word(text, 1), text.size());
      encode_word(text.substr(0, end).substr(drops_space && !is_first ? 1 : 0), out);
      text.remove_prefix(end);
    }
  }

 private:
  void check(const sentencepiece::util::Status& status, std::string_view text) const {
    if (status.ok()) return;
    io::fail("{}: cannot encode \"{}\": {}", tokenizer_.path_, io::printable(text, 40),
             io::printable(status.error_message(), 160));
  }

  void encode_word(std::string_view word, std::vector<std::int32_t>& out) {
    const std::span<const std::int32_t> known = cache_.find(word);
    if (!known.empty()) {
      out.insert(out.end(), known.begin(), known.end());
      return;
    }
    check(tokenizer_.processor_.Encode({word.data(), word.size()}, &ids_), word);
    out.insert(out.end(), ids_.begin(), ids_.end());
    if (!ids_.empty()) cache_.put(word, ids_);
  }

  // The library says what the normalized text is; its pieces are chosen anew.
  void encode_unigram(std::string_view text, std::vector<std::int32_t>& out) {
    check(tokenizer_.processor_.Encode({text.data(), text.size()}, &pieces_), text);
    normalized_.clear();
    for (const std::string& piece : pieces_) normalized_ += tokenizer_.text_of(piece);
    parts_.clear();
    tokenizer_.unigram_->split(normalized_, scratch_, parts_);
    bool was_unknown = false;
    for (const Unigram::Part& part : parts_) {
      const bool is_unknown = part.id == Unigram::kUnknown;
      if (!is_unknown) {
        out.push_back(part.id);
      } else if (tokenizer_.byte_ids_) {
        for (std::size_t at = part.begin; at < part.end; ++at) {
          out.push_back((*tokenizer_.byte_ids_)[static_cast<unsigned char>(normalized_[at])]);
        }
      } else if (!was_unknown) {
        out.push_back(tokenizer_.unknown_id_);
      }
      was_unknown = is_unknown;
    }
  }

  const SentencePieceTokenizer& tokenizer_;
  WordCache cache_;
  std::vector<int> ids_;
  std::vector<std::string> pieces_;
  std::string normalized_;
  Unigram::Scratch scratch_;
  std::vector<Unigram::Part> parts_;
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string content, const std::string& path)
    : content_(std::move(content)), path_(path) {
  check_sentencepiece_model(content_, path);
  load();
  const int tokens = processor_.GetPieceSize();
  while (!processor_.IsUnknown(unknown_id_)) ++unknown_id_;  // the library has seen to it
  rules_ = {first_space(), io::ReplacementUnit::kEachByte, true};
  byte_ids_ = find_byte_ids();
  if (is_unigram(content_)) {
    const std::vector<UnigramPiece> pieces = pieces_of(content_);
    CHECK(pieces.size() == static_cast<std::size_t>(tokens));
    unigram_.emplace(pieces);
  }
  for (int id = 0; id < tokens; ++id) {
    bytes_.push_back(bytes_of(id));
    begins_with_space_.push_back(processor_.IdToPiece(id).starts_with(kSpace) &&
                                 bytes_.back().starts_with(' '));
    if (processor_.IsControl(id)) special_tokens_.push_back({processor_.IdToPiece(id), id});
  }
  words_ = find_words();
}

void SentencePieceTokenizer::load() {
  std::string why;
  try {
    const auto status = processor_.LoadFromSerializedProto(content_);
    if (status.ok()) return;
    why = status.error_message();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {  // of the library's own tables
    why = error.what();
  }
  io::fail("{}: no whole SentencePiece model: {}", path_, io::printable(why, 160));
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

std::optional<std::array<int, 256>> SentencePieceTokenizer::find_byte_ids() const {
  std::array<int, 256> ids;
  for (int byte = 0; byte < 256; ++byte) {
    const int id = processor_.PieceToId(fmt::format("<0x{:02X}>", byte));
    if (!processor_.IsByte(id)) return {};
    ids[static_cast<std::size_t>(byte)] = id;
  }
  return ids;
}

std::string_view SentencePieceTokenizer::text_of(const std::string& piece) const {
  // "<0x0A>"
  if (!byte_ids_ || piece.size() != 6 || !piece.starts_with("<0x")) return piece;
  const int id = processor_.PieceToId(piece);
  return processor_.IsByte(id) ? std::string_view(bytes_[static_cast<std::size_t>(id)]) : piece;
}

// What the library does with spaces in front of a text is not to be asked for; it can be seen.
DecodeRules::FirstSpace SentencePieceTokenizer::first_space() const {
  using FirstSpace = DecodeRules::FirstSpace;
  const auto space = find_token(kSpace);
  // A text that begins with one space: a word, or a space and something else.
  std::vector<int> text;
  for (int id = 0; id < processor_.GetPieceSize(); ++id) {
    if (processor_.IsControl(id) || processor_.IsUnknown(id) || id == space) continue;
    const std::string& piece = processor_.IdToPiece(id);
    const std::size_t spaces = piece.starts_with(kSpace) ? kSpace.size() : 0;
    if (piece.size() == spaces || piece.find(kSpace, spaces) != std::string::npos) continue;
    if (spaces > 0) {
      text = {id};
      break;
    }
    if (space && text.empty()) text = {*space, id};
  }
  if (text.empty() || decoded(text).starts_with(' ')) return FirstSpace::kKept;
  if (!space) return FirstSpace::kAllDropped;
  text.insert(text.begin(), *space);
  return decoded(text).starts_with(' ') ? FirstSpace::kOneDropped : FirstSpace::kAllDropped;
}

std::unique_ptr<Encoder> SentencePieceTokenizer::make_encoder() const {
  return std::make_unique<SentencePieceEncoder>(*this);
}

// No piece lies across the beginning of a word where none has a space behind anything else, and no
// unknown token where a space is known. What remains is what the library does with the space that a
// text begins with.
SentencePieceTokenizer::Words SentencePieceTokenizer::find_words() const {
  const int space = processor_.PieceToId({kSpace.data(), kSpace.size()});
  if (!byte_ids_ && (processor_.IsUnknown(space) || processor_.IsUnused(space))) {
    return Words::kUnknown;
  }
  for (int id = 0; id < processor_.GetPieceSize(); ++id) {
    std::string_view piece = processor_.IdToPiece(id);
    while (piece.starts_with(kSpace)) piece.remove_prefix(kSpace.size());
    if (piece.find(kSpace) != std::string_view::npos) return Words::kUnknown;
  }
  const auto is_same = [&](std::size_t dropped) {
    for (const std::string_view behind : {" b", "  b", " \n b", " ", "  "}) {
      if (behind.size() == dropped) continue;  // nothing is left, and nothing is put in front of it
      SentencePieceEncoder encoder(*this);
      std::vector<std::int32_t> whole, parts;
      encoder.encode("a" + std::string(behind), {}, whole);
      encoder.encode("a", {}, parts);
      encoder.encode(behind.substr(dropped), {}, parts);
      if (whole != parts) return false;
    }
    return true;
  };
  return is_same(0) ? Words::kWithSpace : is_same(1) ? Words::kWithoutSpace : Words::kUnknown;
}

std::size_t SentencePieceTokenizer::next_word(std::string_view text, std::size_t from) const {
  if (words_ == Words::kUnknown) return std::string_view::npos;
  // A space at the end is no word of its own where it would be left out.
  const std::size_t end = text.size() - (words_ == Words::kWithoutSpace ? 1 : 0);
  for (std::size_t at = std::max<std::size_t>(from, 1); at < end; ++at) {
    if (text[at] == ' ' && text[at - 1] > ' ' && text[at - 1] < '\x7f') return at;
  }
  return std::string_view::npos;
}

std::size_t SentencePieceTokenizer::find_cut(std::string_view text, std::size_t from) const {
  return words_ == Words::kWithSpace ? next_word(text, from) : std::string_view::npos;
}

}  // namespace

std::unique_ptr<Tokenizer> parse_sentencepiece(std::string content, const std::string& path) {
  return std::make_unique<SentencePieceTokenizer>(std::move(content), path);
}

}  // namespace mneme::text
