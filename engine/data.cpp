#include "engine/data.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "engine/dataset_folder.h"
#include "engine/document_starts.h"
#include "engine/token_source.h"
#include "io/check.h"
#include "io/error.h"
#include "io/log.h"

namespace mneme::engine {
namespace {

constexpr std::uint64_t kEntropyTokens = std::uint64_t{1} << 26;

// A word that depends on every bit of both (the finaliser of SplitMix64).
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a * 0x9e3779b97f4a7c15 + b;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

DataOptions data_options(const Config& config) {
  return {.source = config.data,
          .batch = config.train.batch,
          .sequence = config.train.sequence,
          .micro_batches = config.train.micro_batches,
          .validation_batches = config.evaluation.batches,
          .seed = config.run.seed};
}

void check_fingerprint(const DataFingerprint& recorded, const DataFingerprint& found,
                       const DataPlace& place, const std::string& command) {
  if (found == recorded) return;
  io::fail(
      "{} {}: has changed since the run was started on it ({} bytes then, {} now{}); name the "
      "run's data with --set {}=PATH, or take it as it is with {} --accept-changed-data",
      place.key, place.path, recorded.bytes, found.bytes,
      found.bytes == recorded.bytes ? ", and another checksum" : "", place.key, command);
}

void check_fingerprints(const RunRecord& recorded, const Data& data, const DataConfig& given,
                        const std::string& command) {
  const DataConfig config = resolve_dataset(given);
  if (data.trains()) {
    check_fingerprint(recorded.data, data.fingerprint(), training_place(config), command);
  }
  const auto found = data.validation_fingerprint();
  if (found && recorded.validation_data) {
    check_fingerprint(*recorded.validation_data, *found, validation_place(config), command);
  } else if (found) {
    io::fail(
        "data.validation_path {}: the run was started without it, on a share of data.path; leave "
        "it away with --set data.validation_path=, or take it from here on with {} "
        "--accept-changed-data",
        config.validation_path, command);
  } else if (recorded.validation_data) {
    io::fail(
        "data.validation_path is empty, but the run was started with validation data of its own; "
        "name it with --set data.validation_path=PATH, or go on without with {} "
        "--accept-changed-data",
        command);
  }
}

Data::Data(const DataOptions& options) : options_(options) {
  options_.source = resolve_dataset(options_.source);
  const bool separate = !options_.source.validation_path.empty();
  if (!separate || !options_.validation_only) {
    open_training(separate ? 0 : options_.source.validation_share);
  }
  if (separate) open_validation();
  warn_of_one_document();
}

void Data::warn_of_one_document() const {
  const DataConfig& source = options_.source;
  if (source.documents == Documents::kJoined || source.separator >= 0) return;
  const Source& read = source_.tokens ? source_ : validation_source_;
  if (read.document_ends.size() > read.parts) return;
  io::warn(
      "data.documents = \"separate\" finds no window with more than one document; set "
      "data.separator to the token that each starts with");
}

void Data::open_training(double validation_share) {
  const DataConfig& source = options_.source;
  source_.tokens = open_tokens(training_place(source));
  SplitSource whole = source_.tokens->split_source();
  DataSplit split = split_data(whole, source.validation_split, validation_share, options_.sequence);
  source_.parts = whole.parts.size();
  source_.document_ends = std::move(whole.documents);
  const bool validates = validation_share > 0;
  if (split.train.count() == 0 || (validates && split.validation.count() == 0)) {
    io::fail("data.path {}: {} tokens are too short for {} of {} + 1 tokens; lower train.sequence",
             source.path, source_.tokens->tokens(),
             validates ? "a training and a validation window" : "a training window",
             options_.sequence);
  }
  train_ = std::move(split.train);
  validation_ = std::move(split.validation);
}

void Data::open_validation() {
  const DataPlace place = validation_place(options_.source);
  validation_source_.tokens = open_tokens(place);
  const TokenSource& tokens = *validation_source_.tokens;
  if (source_.tokens && tokens.is_text() != source_.tokens->is_text()) {
    const auto kind = [](const TokenSource& of) { return of.is_text() ? "text" : "token shards"; };
    io::fail("{} {}: holds {}, but data.path {} holds {}; name data of the same kind", place.key,
             place.path, kind(tokens), options_.source.path, kind(*source_.tokens));
  }
  SplitSource whole = tokens.split_source();
  validation_source_.parts = whole.parts.size();
  validation_source_.document_ends = std::move(whole.documents);
  validation_ = Windows(std::move(whole.parts), options_.sequence);
  if (validation_.count() == 0) {
    io::fail(
        "{} {}: {} tokens are too short for a validation window of {} + 1 tokens; lower "
        "train.sequence",
        place.key, place.path, tokens.tokens(), options_.sequence);
  }
}

Data::~Data() = default;
Data::Data(Data&&) noexcept = default;

void Data::copy_window(const Source& source, std::uint64_t position, std::int64_t row,
                       Batch& out) const {
  const std::size_t size = static_cast<std::size_t>(options_.batch * options_.sequence);
  out.tokens.resize(size);
  out.targets.resize(size);
  const std::int64_t at = row * options_.sequence;
  std::vector<std::int32_t> window(static_cast<std::size_t>(options_.sequence) + 1);
  source.tokens->read(position, window);
  std::copy(window.begin(), window.end() - 1, out.tokens.begin() + at);
  std::copy(window.begin() + 1, window.end(), out.targets.begin() + at);
  const bool separate = options_.source.documents == Documents::kSeparate;
  out.first_keys.resize(separate ? size : 0);
  if (!separate) return;
  const auto length = static_cast<std::size_t>(options_.sequence);
  find_document_starts(std::span(window).first(length), position,
                       {source.document_ends, options_.source.separator},
                       std::span(out.first_keys).subspan(static_cast<std::size_t>(at), length));
}

void Data::train_batch(std::uint64_t step, std::int64_t micro, Batch& out) const {
  CHECK(trains() && step >= 1 && micro >= 0 && micro < options_.micro_batches);
  const std::uint64_t sequences = (step - 1) * static_cast<std::uint64_t>(options_.micro_batches) +
                                  static_cast<std::uint64_t>(micro);
  for (std::int64_t row = 0; row < options_.batch; ++row) {
    const std::uint64_t drawn =
        sequences * static_cast<std::uint64_t>(options_.batch) + static_cast<std::uint64_t>(row);
    const std::uint64_t windows = train_.count();
    const std::uint64_t window =
        shuffled(mix(options_.seed, drawn / windows), windows, drawn % windows);
    copy_window(source_, train_.position(window), row, out);
  }
}

std::int64_t Data::validation_batches() const {
  if (validation_.count() == 0) return 0;
  const std::uint64_t whole = validation_.count() / static_cast<std::uint64_t>(options_.batch);
  // A part smaller than one batch still makes one; some windows then stand in it twice.
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(whole), 1, options_.validation_batches);
}

void Data::validation_batch(std::int64_t index, Batch& out) const {
  CHECK(index >= 0 && index < validation_batches());
  const std::uint64_t all = static_cast<std::uint64_t>(validation_batches() * options_.batch);
  for (std::int64_t row = 0; row < options_.batch; ++row) {
    const std::uint64_t number = static_cast<std::uint64_t>(index * options_.batch + row);
    copy_window(validation_source_.tokens ? validation_source_ : source_,
                validation_.position(number * validation_.count() / all), row, out);
  }
}

std::uint64_t Data::tokens() const {
  return all().tokens();
}
std::uint64_t Data::train_windows() const {
  return train_.count();
}
std::uint64_t Data::validation_windows() const {
  return validation_.count();
}

double Data::epochs_before(std::uint64_t step) const {
  return static_cast<double>(step - 1) *
         static_cast<double>(options_.micro_batches * options_.batch) /
         static_cast<double>(train_.count());
}

DataFingerprint Data::fingerprint() const {
  return all().fingerprint();
}
std::optional<DataFingerprint> Data::validation_fingerprint() const {
  if (!validation_source_.tokens) return {};
  return validation_source_.tokens->fingerprint();
}

double Data::unigram_entropy() const {
  std::vector<std::uint64_t> histogram(static_cast<std::size_t>(options_.source.vocabulary));
  all().count(kEntropyTokens, histogram);
  double total = 0;
  for (const std::uint64_t count : histogram) total += static_cast<double>(count);
  double entropy = 0;
  for (const std::uint64_t count : histogram) {
    const double share = static_cast<double>(count) / total;
    if (count > 0) entropy -= share * std::log(share);
  }
  return entropy;
}

std::uint64_t shuffled(std::uint64_t key, std::uint64_t count, std::uint64_t position) {
  CHECK(position < count);
  // A Feistel network permutes [0, 4^half_bits); positions that land beyond count go round again
  // until they land inside, which keeps it a permutation of [0, count).
  const int half_bits = std::max(1, static_cast<int>(std::bit_width(count - 1) + 1) / 2);
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  do {
    std::uint64_t left = position >> half_bits;
    std::uint64_t right = position & mask;
    for (std::uint64_t round = 0; round < 6; ++round) {
      const std::uint64_t next = left ^ (mix(key + round, right) & mask);
      left = right;
      right = next;
    }
    position = left << half_bits | right;
  } while (position >= count);
  return position;
}

}  // namespace mneme::engine
