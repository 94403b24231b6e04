// What the model reads: text as bytes or token shards, cut into windows, split and shuffled.
//
// The text is cut into windows of sequence + 1 tokens that overlap by one, so that every token is
// predicted once an epoch. The last windows are the validation part. Training takes the others in
// an order that is a pure function of (seed, step): the step is the whole cursor, and looking at a
// later step's batch costs nothing but the copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/manifest.h"

namespace mneme::engine {

struct DataOptions {
  DataConfig source;
  std::int64_t batch = 1;               // sequences of a micro-batch
  std::int64_t sequence = 1;            // tokens of a sequence
  std::int64_t micro_batches = 1;       // of a step
  std::int64_t validation_batches = 1;  // at most
  std::uint64_t seed = 0;
};
DataOptions data_options(const Config& config);

// The checksum or size that differs makes other data of it; what to do about that is in the error.
// `path` is the configuration's, `command` the one that would accept the data as it is.
void check_fingerprint(const DataFingerprint& recorded, const DataFingerprint& found,
                       const std::string& path, const std::string& command);

// One micro-batch. targets[i] is the token that follows tokens[i].
struct Batch {
  std::vector<std::int32_t> tokens;   // [batch, sequence]
  std::vector<std::int32_t> targets;  // [batch, sequence]
};

class Data {
 public:
  // Reads text into memory; opens shards. Throws Error naming data.path when it is missing, empty
  // or too short for one window (and one of validation), or does not fit data.vocabulary.
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

  std::uint64_t tokens() const;  // of the whole source
  std::uint64_t train_windows() const;
  std::uint64_t validation_windows() const;
  // Passes over the training part that are complete before `step` starts.
  double epochs_before(std::uint64_t step) const;

  // What tells this data from any other: the size, and a checksum of every byte up to 1 GiB; of
  // more, of the sizes of the files and of blocks of 64 KiB spread evenly over them, 1 GiB in all.
  DataFingerprint fingerprint() const;

  // Entropy of single tokens in nats, over the first 2^26 tokens at most: the loss of the best
  // model that sees no context.
  double unigram_entropy() const;

 private:
  class Source;
  class Bytes;
  class Shards;
  void copy_window(std::uint64_t window, std::int64_t row, Batch& out) const;

  DataOptions options_;
  std::unique_ptr<Source> source_;
  std::uint64_t train_windows_ = 0;
  std::uint64_t validation_windows_ = 0;
};

// Where position `position` of the shuffle `key` of `count` items leads: a permutation of
// [0, count) that needs no memory. REQUIRES position < count.
std::uint64_t shuffled(std::uint64_t key, std::uint64_t count, std::uint64_t position);

}  // namespace mneme::engine
