// Checkpoints by shadow paging, incremental: the cost follows the rows changed since the last one.
//
// A checkpoint is a dense.safetensors file, one row -> slot delta file a value table, and an entry
// in the manifest; the records themselves stay in the rows files. Order on disk: records, tables
// and dense tensors are durable before the manifest that names them replaces the old one. A chain
// of deltas is rewritten as one base once it is longer than its base.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/manifest.h"
#include "engine/parameters.h"
#include "io/disk.h"
#include "kernels/backend.h"
#include "offload/tiered_store.h"

namespace mneme::engine {

struct CheckpointOptions {
  std::string run_directory;
  std::uint32_t keep = 2;  // checkpoints kept, at least 1
  std::map<std::string, std::string> identity;
};

class Checkpointer {
 public:
  // parameters may be null (tests of the row part alone). All referents must outlive the object.
  Checkpointer(io::Disk& disk, kernels::Stream& stream, Parameters* parameters,
               std::vector<offload::TieredStore*> stores, const CheckpointOptions& options);

  // Where a run keeps its parts.
  static std::string directory(const std::string& run_directory);
  static std::string rows_path(const std::string& run_directory, std::uint32_t table);

  bool exists() const;
  // Loads the newest checkpoint, or that of `step`, into parameters and stores; returns its entry.
  // Throws Error naming the file and the first difference for a checkpoint of another
  // configuration. To go on training, load the newest.
  CheckpointEntry load(std::optional<std::uint64_t> step = {});
  // Makes the state after `step` durable, then drops what `keep` no longer covers. After a failure
  // every later call fails: the run goes on by loading the last checkpoint.
  void save(std::uint64_t step, const std::map<std::string, std::string>& state);

  const Manifest& manifest() const { return manifest_; }
  // The row -> slot tables of every checkpoint of a manifest for one value table, oldest first.
  std::vector<offload::CheckpointTable> tables(const Manifest& manifest, std::uint32_t table) const;
  // Reads the dense tensors of a checkpoint into the parameters, and so every one of their bytes.
  void load_dense(const CheckpointEntry& entry);

 private:
  void write_checkpoint(std::uint64_t step, const std::map<std::string, std::string>& state);
  std::string unused_name(std::string name) const;
  void check_identity() const;
  // The checksum of what was written.
  std::uint64_t save_dense(const std::string& name);
  std::vector<std::string> save_table(std::uint32_t table, std::uint64_t step,
                                      const offload::TableDelta& delta);
  offload::CheckpointTable read_chain(std::uint32_t table, std::uint64_t epoch,
                                      std::span<const std::string> chain) const;
  void remove_unnamed_files();
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  io::Disk& disk_;
  kernels::Stream& stream_;
  Parameters* parameters_;
  std::vector<offload::TieredStore*> stores_;
  CheckpointOptions options_;
  std::string directory_;
  Manifest manifest_;
  std::string failure_;  // of a save
};

}  // namespace mneme::engine
