// The root of a run's checkpoints: one JSON file, checksummed, replaced by an atomic rename. What a
// run is and which checkpoints it has stand here and nowhere else.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/disk.h"

namespace mneme::engine {

// A file of a checkpoint and its checksum, so that no other file passes for it.
struct NamedFile {
  std::string name;            // in the checkpoints directory
  std::uint64_t checksum = 0;  // of a dense file: its tensors' (checkpoint.h); of a table: its own
  bool operator==(const NamedFile&) const = default;
};

// The leading part of metrics.jsonl that belongs to a checkpoint.
struct MetricsMark {
  std::uint64_t bytes = 0;
  std::uint64_t checksum = 0;  // metrics.h: MetricsChecksum
  bool operator==(const MetricsMark&) const = default;
};

// Where the rows of a value table were when a checkpoint was saved. All that were touched are on
// disk by then; `disk` counts those that were nowhere else.
struct RowPlaces {
  std::uint64_t device = 0, host = 0, disk = 0;
  std::uint64_t untouched = 0;  // rows that have their initial value and lie nowhere
  bool operator==(const RowPlaces&) const = default;
};

struct CheckpointEntry {
  std::uint64_t step = 0;
  NamedFile dense;
  std::vector<std::vector<NamedFile>> tables;  // per value table: base, then deltas in order
  MetricsMark metrics;
  std::vector<RowPlaces> rows;  // per value table; empty where nobody has noted it
  bool operator==(const CheckpointEntry&) const = default;

  // Every file that the checkpoint needs, besides the rows files.
  std::vector<std::string> files() const;
};

// What a run trains on, so that other data is noticed.
struct DataFingerprint {
  std::uint64_t bytes = 0;
  std::uint64_t checksum = 0;  // engine/data.h
  bool operator==(const DataFingerprint&) const = default;
};

// The keys of the learning-rate schedule and their values (TOML) from a step on. Rows that were not
// read since an earlier step still move at the rates of their time (SPEC.md, catch-up).
struct ScheduleSegment {
  std::uint64_t first_step = 1;
  std::map<std::string, std::string> keys;
  bool operator==(const ScheduleSegment&) const = default;
};

// The tokenizer that a run's text and samples are written with.
struct TokenizerRecord {
  std::string file;      // in the run's directory
  std::string encoding;  // of a tiktoken file
  std::uint64_t checksum = 0;
  bool operator==(const TokenizerRecord&) const = default;
};

// What a run is, besides its checkpoints.
struct RunRecord {
  std::uint64_t id = 0;  // drawn at random when the run started; part of its tables' identities
  std::string config;    // the configuration of the newest checkpoint, as config.toml has it
  DataFingerprint data;
  std::optional<DataFingerprint> validation_data;  // of data.validation_path; none without one
  std::optional<TokenizerRecord> tokenizer = {};   // none for bytes, and where ids have no text
  std::vector<ScheduleSegment> schedule;           // ascending, the first one from step 1 on
};

struct Manifest {
  RunRecord run;
  std::vector<CheckpointEntry> checkpoints;  // oldest first
};

std::string manifest_path(const std::string& directory);
bool manifest_exists(const io::Disk& disk, const std::string& directory);
// Throws Error naming the file and what is wrong with it.
Manifest read_manifest(const io::Disk& disk, const std::string& directory);
// Durable when it returns; before that the old manifest stands.
void write_manifest(io::Disk& disk, const std::string& directory, const Manifest& manifest);

}  // namespace mneme::engine
