#include "text/byte_pair_tokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "text/known_patterns.h"
#include "text/word_cache.h"

namespace mneme::text {
namespace {

// Tokens that end a document, by the names that published tokenizers give them.
constexpr std::array<std::string_view, 6> kSeparators = {
    "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>", "<|eot|>"};

constexpr bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_ascii_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// Whether a token is found, or takes other white space, depending on what is on the other side of a
// cut between a letter and white space.
bool lies_across_cuts(const AddedToken& token) {
  const std::string& text = token.text;
  for (std::size_t at = 1; at < text.size(); ++at) {
    if (is_ascii_letter(text[at - 1]) && is_ascii_space(text[at])) return true;
  }
  return (token.takes_right && is_ascii_letter(text.back())) ||
         (token.single_word && is_ascii_space(text.front()));
}

class BytePairTokenizer : public Tokenizer {
 public:
  explicit BytePairTokenizer(BytePairTokenizerParts parts);

  std::string kind() const override { return parts_.kind; }
  std::int64_t vocabulary() const override {
    return static_cast<std::int64_t>(parts_.written.size());
  }
  std::string_view file_content() const override { return parts_.content; }
  std::string file_name() const override { return parts_.file_name; }
  std::optional<std::int32_t> separator() const override;
  const std::vector<SpecialToken>& special_tokens() const override { return special_tokens_; }
  std::optional<std::int32_t> find_token(std::string_view written) const override;
  std::unique_ptr<Encoder> make_encoder() const override;
  std::string_view token_bytes(std::int32_t id) const override {
    return parts_.bytes[static_cast<std::size_t>(id)];
  }
  std::size_t find_cut(std::string_view text, std::size_t from) const override;

 private:
  friend class BytePairEncoder;
  bool may_cut() const;

  BytePairTokenizerParts parts_;
  BytePairs pairs_;
  AddedTokens raw_, normalized_;  // found before and after normalization
  std::unordered_map<std::string_view, std::int32_t> pieces_;  // with whole_pieces_first
  std::vector<SpecialToken> special_tokens_;
  bool may_cut_ = false;
};

class BytePairEncoder : public Encoder {
 public:
  explicit BytePairEncoder(const BytePairTokenizer& tokenizer)
      : tokenizer_(tokenizer), pre_tokenizer_(tokenizer.parts_.splits) {}

  void encode(std::string_view text, const EncodeOptions& options,
              std::vector<std::int32_t>& out) override {
    const BytePairTokenizerParts& parts = tokenizer_.parts_;
    if (options.add_special) out.insert(out.end(), parts.begin.begin(), parts.begin.end());
    const auto normalized = [&](std::string_view between, const AddedToken* token) {
      encode_plain(between, out);
      if (token) out.push_back(token->id);
    };
    tokenizer_.raw_.split(
        text, options.special_in_text, [&](std::string_view between, const AddedToken* token) {
          between = normalize(parts.normalization, between, normalized_text_);
          tokenizer_.normalized_.split(between, options.special_in_text, normalized);
          if (token) out.push_back(token->id);
        });
    if (options.add_special) out.insert(out.end(), parts.end.begin(), parts.end.end());
  }

 private:
  // Text without added tokens.
  void encode_plain(std::string_view text, std::vector<std::int32_t>& out) {
    if (text.empty()) return;
    if (tokenizer_.parts_.adds_prefix_space && text[0] != ' ') {
      prefixed_.assign(1, ' ').append(text);
      text = prefixed_;
    }
    pre_tokenizer_.split(text, [&](std::string_view piece) { encode_piece(piece, out); });
  }

  void encode_piece(std::string_view piece, std::vector<std::int32_t>& out) {
    const std::span<const std::int32_t> known = cache_.find(piece);
    if (!known.empty()) {
      out.insert(out.end(), known.begin(), known.end());
      return;
    }
    if (tokenizer_.parts_.whole_pieces_first) {
      const auto found = tokenizer_.pieces_.find(piece);
      if (found != tokenizer_.pieces_.end()) return out.push_back(found->second);
    }
    const std::size_t before = out.size();
    tokenizer_.pairs_.encode(piece, scratch_, out);
    if (out.size() > before) cache_.put(piece, std::span(out).subspan(before));
  }

  const BytePairTokenizer& tokenizer_;
  PreTokenizer pre_tokenizer_;
  BytePairs::Scratch scratch_;
  WordCache cache_;
  std::string normalized_text_, prefixed_;
};

BytePairTokenizer::BytePairTokenizer(BytePairTokenizerParts parts)
    : parts_(std::move(parts)), pairs_(parts_.merges, parts_.byte_tokens) {
  parts_.merges = {};
  if (parts_.whole_pieces_first) {
    for (const std::int32_t id : parts_.piece_tokens) {
      pieces_.emplace(parts_.bytes[static_cast<std::size_t>(id)], id);
    }
  }
  std::vector<AddedToken> raw, normalized;
  for (AddedToken token : parts_.added) {
    if (token.is_special) special_tokens_.push_back({token.text, token.id});
    if (token.is_normalized) {
      std::string buffer;
      token.text = std::string(normalize(parts_.normalization, token.text, buffer));
    }
    (token.is_normalized ? normalized : raw).push_back(std::move(token));
  }
  std::ranges::sort(special_tokens_, {}, &SpecialToken::id);
  raw_ = AddedTokens(std::move(raw));
  normalized_ = AddedTokens(std::move(normalized));
  may_cut_ = may_cut();
}

std::optional<std::int32_t> BytePairTokenizer::separator() const {
  for (const std::string_view name : kSeparators) {
    for (const SpecialToken& special : special_tokens_) {
      if (special.text == name) return special.id;
    }
  }
  return {};
}

std::optional<std::int32_t> BytePairTokenizer::find_token(std::string_view written) const {
  if (written.empty()) return {};
  for (const AddedToken& token : parts_.added) {
    if (token.text == written) return token.id;
  }
  const auto found = std::ranges::find(parts_.written, written);
  if (found == parts_.written.end()) return {};
  return static_cast<std::int32_t>(found - parts_.written.begin());
}

std::unique_ptr<Encoder> BytePairTokenizer::make_encoder() const {
  return std::make_unique<BytePairEncoder>(*this);
}

// Between an ASCII letter and white space, where no piece and no added token lies across. A single
// split with a known pattern says so of pieces.
bool BytePairTokenizer::may_cut() const {
  if (parts_.splits.size() != 1) return false;
  const Split& split = parts_.splits.front();
  if (split.behavior != SplitBehavior::kIsolated ||
      !cuts_behind_letters(split.pattern.expression())) {
    return false;
  }
  // Of tokens that are found in normalized text, the normalized text counts.
  return std::ranges::none_of(raw_.tokens(), lies_across_cuts) &&
         std::ranges::none_of(normalized_.tokens(), lies_across_cuts);
}

std::size_t BytePairTokenizer::find_cut(std::string_view text, std::size_t from) const {
  if (!may_cut_) return std::string_view::npos;
  for (std::size_t at = std::max<std::size_t>(from, 1); at < text.size(); ++at) {
    // A space in front keeps one from being added.
    const bool is_space = parts_.adds_prefix_space ? text[at] == ' ' : is_ascii_space(text[at]);
    if (is_space && is_ascii_letter(text[at - 1])) return at;
  }
  return std::string_view::npos;
}

}  // namespace

std::unique_ptr<Tokenizer> make_byte_pair_tokenizer(BytePairTokenizerParts parts) {
  return std::make_unique<BytePairTokenizer>(std::move(parts));
}

}  // namespace mneme::text
