// Tokenizers: text to token ids and back, as the library that a tokenizer's file comes from does
// it.
//
// Layouts, one source each: tokenizer.json with byte-level BPE (bpe_json.h), tiktoken files
// (tiktoken_file.h), SentencePiece models (sentencepiece_tokenizer.h), and bytes as they are
// (byte_tokenizer.h). open_tokenizer() tells them apart by their content. This room knows text and
// ids; it knows neither models nor devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/utf8.h"

namespace mneme::text {

// Ids beyond this are refused: data.vocabulary of any model is at most 2^18.
inline constexpr std::int64_t kMostTokens = std::int64_t{1} << 18;

struct EncodeOptions {
  // Special tokens that stand in the text become their ids; otherwise they are text like any other.
  bool special_in_text = true;
  // Puts the tokens around the text that the tokenizer's file asks for (a begin of text).
  bool add_special = false;
};

// Encodes for one thread: it has a cache of words that were encoded.
class Encoder {
 public:
  virtual ~Encoder() = default;
  // Appends the tokens of `text`. REQUIRES: it is UTF-8 (io::find_invalid_utf8).
  virtual void encode(std::string_view text, const EncodeOptions& options,
                      std::vector<std::int32_t>& out) = 0;
};

// How tokens become text, where references differ.
struct DecodeRules {
  // Spaces that a text begins with were put there by encoding: the first token's, or those of
  // tokens up to the first that is more than a space.
  enum class FirstSpace { kKept, kOneDropped, kAllDropped };
  FirstSpace first_space = FirstSpace::kKept;
  io::ReplacementUnit invalid_bytes = io::ReplacementUnit::kLongestBeginning;
  // Bytes with a token between them that has no text are of different characters.
  bool empty_tokens_end_characters = false;
};

// What the ids of a special token look like in text.
struct SpecialToken {
  std::string text;
  std::int32_t id = 0;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // In words: "byte-level BPE (tokenizer.json)".
  virtual std::string kind() const = 0;
  // One more than the highest id, which may exceed the number of tokens.
  virtual std::int64_t vocabulary() const = 0;
  // Its file as it was read, which travels with runs and shards; empty for bytes.
  virtual std::string_view file_content() const = 0;
  // The name that the file gets where it travels: "tokenizer.json", "tokenizer.model",
  // "tokenizer.tiktoken"; empty for bytes.
  virtual std::string file_name() const = 0;
  // The token that ends a document, where the file names one in a way that is known.
  virtual std::optional<std::int32_t> separator() const = 0;
  // Tokens that are no text, by id.
  virtual const std::vector<SpecialToken>& special_tokens() const = 0;
  // The id of a token as its file writes it; nothing where there is none.
  virtual std::optional<std::int32_t> find_token(std::string_view written) const = 0;

  // The tokenizer must outlive it.
  virtual std::unique_ptr<Encoder> make_encoder() const = 0;

  // What a token adds to decoded text: bytes, which need not be whole characters. Empty for ids
  // that stand for nothing. REQUIRES 0 <= id < vocabulary().
  virtual std::string_view token_bytes(std::int32_t id) const = 0;
  virtual DecodeRules decode_rules() const { return {}; }
  // Whether the space that a token's bytes begin with stands for the beginning of a word.
  virtual bool begins_with_space(std::int32_t) const { return false; }

  // A place near the front of text[from...] where text may be cut: encoding both sides one behind
  // the other gives what encoding all of it would. npos when there is none, or none is known.
  virtual std::size_t find_cut(std::string_view text, std::size_t from) const = 0;
};

// Opens a tokenizer's file. `encoding` names the pattern and the special tokens of a tiktoken file
// ("cl100k_base"), or "auto" to know them by the number of its tokens; other files ignore it.
// Throws Error naming the file, its line where it has lines, and what is not supported.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path,
                                          const std::string& encoding = "auto");

// Bytes are tokens: vocabulary 256.
std::unique_ptr<Tokenizer> make_byte_tokenizer();

// Throws Error naming the id and its place for an id outside the vocabulary.
std::string decode(const Tokenizer& tokenizer, std::span<const std::int32_t> tokens,
                   bool with_special = true);

// Decodes token by token: what is returned is whole characters, so that it can be shown at once.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool with_special = true);
  // The text that is complete with this token; often empty within a character. Throws Error for an
  // id outside the vocabulary.
  std::string add(std::int32_t token);
  // What is left: the beginning of a character that did not come, as U+FFFD.
  std::string finish();

 private:
  std::string take(std::size_t bytes);

  const Tokenizer* tokenizer_;
  DecodeRules rules_;
  bool with_special_;
  bool is_first_ = true;  // spaces that come may be those that encoding has put in front
  std::string pending_;   // the beginning of a character
};

}  // namespace mneme::text
