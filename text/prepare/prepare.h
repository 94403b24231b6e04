// text/prepare/: a corpus to files of tokens, on all cores, in bounded memory, and so that the work
// goes on where it was after it was stopped or killed.
//
//   reader thread          threads of workers               the caller's thread
//   CorpusReader  -->  BatchEncoder (parse, encode)  -->  ShardedTokens, progress, in order
//
// This room knows corpora, tokenizers and datasets; it knows no models.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/token_layout.h"
#include "text/corpus/corpus_reader.h"
#include "text/tokenizer.h"

namespace mneme::text {

struct PrepareOptions {
  std::vector<std::string> inputs;  // files and folders (text/corpus/source.h)
  std::string output;               // folder, which appears when all is done
  std::string program;              // name and version of the program, for dataset.json

  std::string encoding = "auto";  // with which the tokenizer was opened
  io::TokenLayout layout = io::TokenLayout::kLlmC;
  std::string field = "text";  // of JSON records
  // What stands in front of each document: a token as the tokenizer's file writes it, an id,
  // "none", or "auto" for the tokenizer's own, where it has one.
  std::string separator = "auto";
  std::optional<std::string> document_separator;              // corpus_reader.h
  std::uint64_t most_record_bytes = std::uint64_t{64} << 20;  // the same
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
  bool special_in_text = true;      // EncodeOptions
  double validation_share = 0.005;  // of the documents, 0 to ValidationChoice::kMostShare
  std::uint64_t seed = 1;           // of their choice
  std::uint64_t shard_tokens = 100'000'000;

  int threads = 0;       // 0 for all cores; the files do not depend on it
  bool restart = false;  // what an earlier call has left is dropped
  double checkpoint_seconds = 5;
  std::size_t batch_bytes = std::size_t{1} << 20;  // the files do not depend on it, either
  // Asked often: what it throws ends the work, which goes on from there when it is asked for again.
  std::function<void()> check;
};

struct PreparedPart {
  std::uint64_t documents = 0;
  std::uint64_t tokens = 0;  // separators among them
  std::uint64_t text_bytes = 0;
};

struct PreparedDataset {
  PreparedPart train, validation;
  std::uint64_t empty_records = 0;  // of JSON, which are no documents
  std::optional<std::int32_t> separator;
  int token_bytes = 2;
  std::size_t sources = 0;
  std::uint64_t source_bytes = 0;
  std::uint64_t resumed_documents = 0;  // that an earlier call had written
  double text_bytes_per_second = 0;     // of this call
};

// Work goes on in OUTPUT.mneme-partial, where each call with equal options takes up what the one
// before has left. Throws Error naming what is wrong, and whatever `check` throws.
PreparedDataset prepare(io::Disk& disk, const Tokenizer& tokenizer, const PrepareOptions& options);

}  // namespace mneme::text
