// Byte-level byte-pair encoding: added tokens, normalization, pieces, pairs. What it is made of is
// read by tokenizer_json.h and tiktoken_file.h.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/byte_pairs.h"
#include "text/normalization.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace mneme::text {

struct BytePairTokenizerParts {
  std::string kind;       // as Tokenizer::kind says it
  std::string content;    // of the file
  std::string file_name;  // where it travels
  // By id: as the file writes the token; the bytes that it decodes to. Empty where an id stands for
  // nothing.
  std::vector<std::string> written;
  std::vector<std::string> bytes;
  std::vector<BytePairs::Merge> merges;
  std::array<std::int32_t, 256> byte_tokens = {};
  // A piece that is one of `piece_tokens` becomes it without merges.
  bool whole_pieces_first = false;
  std::vector<std::int32_t> piece_tokens;
  std::vector<Split> splits;
  bool adds_prefix_space = false;  // to texts that do not begin with one
  NormalizationForm normalization = NormalizationForm::kNone;
  std::vector<AddedToken> added;
  std::vector<std::int32_t> begin, end;  // put around a text with EncodeOptions::add_special
};

std::unique_ptr<Tokenizer> make_byte_pair_tokenizer(BytePairTokenizerParts parts);

}  // namespace mneme::text
