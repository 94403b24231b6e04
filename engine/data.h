// What the model reads: text as bytes or token shards, cut into windows, split and shuffled.
//
// A part of the data validates (data_split.h), or all of data.validation_path. Both parts are cut
// into windows of sequence + 1 tokens. Training takes its windows in an order that is a pure
// function of (seed, step): the step is the whole cursor, and looking at a later step's batch costs
// nothing but the copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/data_files.h"
#include "engine/data_split.h"
#include "engine/manifest.h"

namespace mneme::engine {

struct DataOptions {
  DataConfig source;
  std::int64_t batch = 1;               // sequences of a micro-batch
  std::int64_t sequence = 1;            // tokens of a sequence
  std::int64_t micro_batches = 1;       // of a step
  std::int64_t validation_batches = 1;  // at most
  std::uint64_t seed = 0;
  // With data.validation_path, data.path is left alone: there are no training batches, and what is
  // said of all data is said of the validation data.
  bool validation_only = false;
};
DataOptions data_options(const Config& config);

// The checksum or size that differs makes other data of it; what to do about that is in the error.
// `command` is the one that would accept the data as it is.
void check_fingerprint(const DataFingerprint& recorded, const DataFingerprint& found,
                       const DataPlace& place, const std::string& command);

class Data;
class TokenSource;
// The same for all that `data` has read.
void check_fingerprints(const RunRecord& recorded, const Data& data, const DataConfig& config,
                        const std::string& command);

// One micro-batch. targets[i] is the token that follows tokens[i].
struct Batch {
  std::vector<std::int32_t> tokens;   // [batch, sequence]
  std::vector<std::int32_t> targets;  // [batch, sequence]
  // [batch, sequence]: where its document begins for each token, as a position of the sequence; 0
  // for a document that began before. Empty where documents are joined.
  std::vector<std::int32_t> first_keys;
};

class Data {
 public:
  // Reads text into memory; opens shards. Throws Error naming data.path or data.validation_path
  // when it is missing, empty or too short for one window (of training, of validation), or does not
  // fit data.vocabulary, and when one is text and the other shards.
  explicit Data(const DataOptions& options);
  ~Data();
  Data(Data&&) noexcept;

  // Micro-batch `micro` (from 0) of training step `step` (from 1). Vectors are resized once and
  // then reused. Throws Error naming the file for a token outside the vocabulary, and for a shard
  // that has become shorter.
  void train_batch(std::uint64_t step, std::int64_t micro, Batch& out) const;

  // Batches of the validation part, the same in every run with these options: windows spread evenly
  // over the part. 0 without a validation part.
  std::int64_t validation_batches() const;
  void validation_batch(std::int64_t index, Batch& out) const;

  std::uint64_t tokens() const;  // of all data.path
  std::uint64_t train_windows() const;
  std::uint64_t validation_windows() const;
  // Passes over the training part that are complete before `step` starts.
  double epochs_before(std::uint64_t step) const;

  // What tells this data from any other: the size, and a checksum of every byte up to 1 GiB; of
  // more, of the sizes of the files and of blocks of 64 KiB spread evenly over them, 1 GiB in all.
  DataFingerprint fingerprint() const;
  // The same of data.validation_path; none without one.
  std::optional<DataFingerprint> validation_fingerprint() const;

  // Entropy of single tokens in nats, over the first 2^26 tokens at most: the loss of the best
  // model that sees no context.
  double unigram_entropy() const;

  // Whether there are training batches (DataOptions::validation_only).
  bool trains() const { return source_.tokens != nullptr; }

 private:
  // Tokens, and where documents end in them.
  struct Source {
    std::unique_ptr<TokenSource> tokens;
    std::size_t parts = 0;                     // no window crosses from one into the next
    std::vector<std::uint64_t> document_ends;  // ascending
  };

  void open_training(double validation_share);
  void open_validation();
  // Where keeping documents apart changes nothing.
  void warn_of_one_document() const;
  const TokenSource& all() const { return *(source_.tokens ? source_ : validation_source_).tokens; }
  // The window that begins at a position, as a row of a batch.
  void copy_window(const Source& source, std::uint64_t position, std::int64_t row,
                   Batch& out) const;

  DataOptions options_;
  Source source_;             // of data.path; no tokens with validation_only
  Source validation_source_;  // of data.validation_path; no tokens without one
  Windows train_;
  Windows validation_;
};

// Where position `position` of the shuffle `key` of `count` items leads: a permutation of
// [0, count) that needs no memory. REQUIRES position < count.
std::uint64_t shuffled(std::uint64_t key, std::uint64_t count, std::uint64_t position);

}  // namespace mneme::engine
