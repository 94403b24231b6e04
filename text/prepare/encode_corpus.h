// All text of a corpus as tokens, in order: read by one thread, encoded by many, taken by the
// caller's.
#pragma once

#include <functional>

#include "text/corpus/corpus_reader.h"
#include "text/corpus/source.h"
#include "text/prepare/batch_encoder.h"
#include "text/tokenizer.h"

namespace mneme::text {

struct EncodeCorpusOptions {
  CorpusOptions corpus;  // but for find_cut, which is the tokenizer's
  BatchEncoderOptions encoding;
  CorpusPosition start;
  int threads = 0;  // that encode; 0 for all cores. The batches do not depend on it.
  // Called often: what it throws ends the work.
  std::function<void()> check;
};

// Throws Error naming file and line for what cannot be read or encoded, and what `check` and `take`
// throw.
void encode_corpus(const SourceList& sources, const Tokenizer& tokenizer,
                   const EncodeCorpusOptions& options,
                   const std::function<void(const EncodedBatch&)>& take);

}  // namespace mneme::text
