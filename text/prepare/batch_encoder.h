// Batches of text to tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "text/corpus/json_record.h"
#include "text/corpus/raw_batch.h"
#include "text/tokenizer.h"

namespace mneme::text {

struct EncodedPart {
  std::size_t tokens_end = 0;  // in the batch; they begin where those of the part before end
  std::uint64_t text_bytes = 0;
  bool begins_document = true;
  bool ends_document = true;
};

struct EncodedBatch {
  std::vector<std::int32_t> tokens;
  std::vector<EncodedPart> parts;  // of documents that are not empty
  std::uint64_t empty_records = 0;
  CorpusPosition next;
  std::uint64_t input_bytes = 0;
  const Source* roughly_cut = nullptr;
};

struct BatchEncoderOptions {
  std::optional<std::int32_t> separator;  // in front of each document
  bool special_in_text = true;
  JsonRecordOptions json;
};

// For one thread.
class BatchEncoder {
 public:
  // The tokenizer must outlive it.
  BatchEncoder(const Tokenizer& tokenizer, const BatchEncoderOptions& options);
  // Throws Error naming file and line.
  EncodedBatch encode(const RawBatch& batch);

 private:
  void add_lines(const RawBatch& batch, const Piece& piece, EncodedBatch& out);
  void add_text(std::string_view text, const Piece& piece, EncodedBatch& out);

  const Tokenizer* tokenizer_;
  BatchEncoderOptions options_;
  std::unique_ptr<Encoder> encoder_;
  JsonRecord record_;
};

}  // namespace mneme::text
