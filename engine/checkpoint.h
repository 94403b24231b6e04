// Checkpoints by shadow paging, incremental: the cost follows the rows changed since the last one.
//
// A checkpoint is a dense.safetensors file, one row -> slot delta file a value table, and an entry
// in the manifest; the records themselves stay in the rows files. Order on disk: records, tables
// and dense tensors are durable before the manifest that names them replaces the old one. A chain
// of deltas is rewritten as one base once it is longer than its base. Only files that a checkpoint
// of this run has written are ever replaced or removed (run_files.h).
#pragma once

#include <cstdint>
#include <functional>
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
  std::uint32_t keep = 2;    // checkpoints kept, at least 1
  std::uint64_t run_id = 0;  // in the metadata of dense files
};

// Makes the metrics durable and says what a manifest has to know of them.
using MarkMetrics = std::function<MetricsMark()>;

class Checkpointer {
 public:
  // All referents must outlive the object.
  Checkpointer(io::Disk& disk, kernels::Stream& stream, Parameters& parameters,
               std::vector<offload::TieredStore*> stores, const CheckpointOptions& options);

  // Loads the newest checkpoint of a manifest, or that of `step`, into parameters and stores;
  // returns its entry. Needs the files of that checkpoint alone: another one whose tables are
  // damaged is dropped with a warning, at the next save. Newer ones are dropped then, too; until
  // then they stay as they are. Throws Error naming the file.
  CheckpointEntry load(const Manifest& manifest, std::optional<std::uint64_t> step = {});
  // Makes the state after `step` durable, then drops what `keep` no longer covers. `metrics` is
  // called when everything but the manifest is written: what the checkpoint has moved by then can
  // be in a line of its own step. After a failure every later call fails: the run goes on by
  // loading the last checkpoint.
  void save(std::uint64_t step, const RunRecord& run, const MarkMetrics& metrics);

 private:
  void write_checkpoint(std::uint64_t step, const RunRecord& run, const MarkMetrics& metrics);
  void restore_rows(std::uint32_t table, const CheckpointEntry& current);
  std::string unused_name(std::string name) const;
  bool is_named(const std::string& name) const;
  void load_dense(const CheckpointEntry& entry);
  NamedFile save_dense(std::uint64_t step);
  std::vector<NamedFile> save_table(std::uint32_t table, std::uint64_t step,
                                    const offload::TableDelta& delta);
  void remove_unnamed_files();
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  io::Disk& disk_;
  kernels::Stream& stream_;
  Parameters& parameters_;
  std::vector<offload::TieredStore*> stores_;
  CheckpointOptions options_;
  std::string directory_;
  std::vector<CheckpointEntry> kept_;       // oldest first; the last one is where the run stands
  std::vector<CheckpointEntry> abandoned_;  // still in the manifest, and no longer after a save
  std::string failure_;                     // of a save
};

// --- What can be done with a checkpoint without a model.

// The row -> slot table of a checkpoint. Throws Error naming the damaged file.
offload::CheckpointTable read_row_table(io::Disk& disk, const std::string& directory,
                                        std::uint32_t table, const CheckpointEntry& entry);
// Reads every byte of a checkpoint's dense file; `use`, when given, sees each tensor's buffer, its
// declaration and its values. Throws Error where it is not the file of the entry, or not that of a
// model of these parameters.
using UseTensor =
    std::function<void(ParameterBuffer, const ParameterDeclaration&, std::span<const float>)>;
void read_dense(io::Disk& disk, const std::string& directory, const CheckpointEntry& entry,
                std::span<const ParameterDeclaration> parameters, const UseTensor& use = {});

}  // namespace mneme::engine
