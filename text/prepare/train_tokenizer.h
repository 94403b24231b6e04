// A new tokenizer for a corpus, by SentencePiece's trainer.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "io/enum_names.h"
#include "text/corpus/json_record.h"
#include "text/corpus/source.h"

namespace mneme::text {

enum class TokenizerModel { kBpe, kUnigram };
constexpr auto enum_names(TokenizerModel) {
  return std::to_array<io::EnumName<TokenizerModel>>(
      {{"bpe", TokenizerModel::kBpe}, {"unigram", TokenizerModel::kUnigram}});
}

struct TrainTokenizerOptions {
  TokenizerModel model = TokenizerModel::kBpe;
  std::int64_t vocabulary = 32000;  // with 256 bytes and 3 special tokens
  // Text that is looked at: lines of the corpus, drawn by seed, in about so many bytes. Training
  // takes several times the memory.
  std::uint64_t sample_bytes = std::uint64_t{100} << 20;
  std::uint64_t seed = 1;
  int threads = 0;  // 0 for all cores
  JsonRecordOptions json;
};

// What the tokenizer looks at.
struct TokenizerSample {
  std::uint64_t lines = 0;
  std::uint64_t bytes = 0;
};

// The content of a SentencePiece model: every text comes back as it was (no normalization, no
// prefix, byte fallback), digits are tokens of their own, and a line break is a byte. Throws Error
// naming file and line for what cannot be read, and for a vocabulary that the text is too small
// for.
std::string train_tokenizer(const SourceList& sources, const TrainTokenizerOptions& options,
                            TokenizerSample& sample);

}  // namespace mneme::text
