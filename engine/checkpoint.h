// Checkpoints by shadow paging, incremental: the cost follows the rows changed since the last one.
//
// A checkpoint is a dense.safetensors file, one row -> slot delta file a value table, and an entry
// in the manifest; the records themselves stay in the rows files. Order on disk: records, tables
// and dense tensors are durable before the manifest that names them replaces the old one. A chain
// of deltas is rewritten as one base once it is longer than its base. Only files that a checkpoint
// of this run has written are ever replaced or removed (run_files.h).
//
// Training may go on while a checkpoint is written. In time:
//
//   training                          the checkpoint's thread          the stores
//   -------------------------------   ------------------------------   --------------------------
//   begin(): the state after step t                                    records that were dirty are
//   step t + 1                        dense tensors -> file              written, a record that is
//     await_parameters()                                                 about to change first
//     parameters change
//     poll(), now and then; once the
//     records are in the files:       records durable, row tables,
//                                     metrics, manifest
//   poll(): committed
//
// Memory meanwhile: what the stores take (offload/snapshot.h, StoreOptions::save_bytes), 40 bytes
// for each row that is written twice, and the largest dense tensor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
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

// What a manifest has to know of the metrics.
struct MarkedMetrics {
  MarkedMetrics(const MetricsMark& marked, std::function<void()> sync = {})
      : mark(marked), make_durable(std::move(sync)) {}
  MetricsMark mark;
  std::function<void()> make_durable;  // called in any thread; null: they are
};
using MarkMetrics = std::function<MarkedMetrics()>;

class Checkpointer {
 public:
  // All referents must outlive the object.
  Checkpointer(io::Disk& disk, kernels::Backend& backend, kernels::Stream& stream,
               Parameters& parameters, std::vector<offload::TieredStore*> stores,
               const CheckpointOptions& options);
  // Gives up a checkpoint that is under way.
  ~Checkpointer();

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

  // The same while training goes on. `metrics` is called at once. Errors come with poll() and
  // finish(). REQUIRES: no checkpoint is under way; the caller's stream has run what was queued.
  void begin(std::uint64_t step, const RunRecord& run, const MarkMetrics& metrics);
  bool is_saving() const { return save_ != nullptr; }
  // Goes on as far as that does not wait. True when no checkpoint is under way any more.
  bool poll();
  // Waits until there is none.
  void finish();
  // To be called before parameters change: waits until a checkpoint has read them.
  void await_parameters();

 private:
  struct Save;

  void require_no_failure() const;
  template <typename Work>
  void or_keep_failure(const Work& work);
  void start(std::uint64_t step, const RunRecord& run);
  void set_rows_written();
  void set_metrics(const MarkedMetrics& metrics);
  bool wants_rows() const;
  bool rows_are_written();
  void await_files();

  // Of the checkpoint's thread.
  void write_files(Save& save);
  void write_tables(Save& save);
  void write_manifest_of(Save& save);
  void restore_rows(std::uint32_t table, const CheckpointEntry& current);
  std::string unused_name(std::string name) const;
  bool is_named(const std::string& name) const;
  void load_dense(const CheckpointEntry& entry);
  NamedFile save_dense(Save& save);
  std::vector<NamedFile> save_table(std::uint32_t table, std::uint64_t step,
                                    offload::TableChanges changes);
  void remove_unnamed_files();
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  io::Disk& disk_;
  kernels::Backend& backend_;
  kernels::Stream& stream_;
  Parameters& parameters_;
  std::vector<offload::TieredStore*> stores_;
  CheckpointOptions options_;
  std::string directory_;
  std::vector<CheckpointEntry> kept_;       // oldest first; the last one is where the run stands
  std::vector<CheckpointEntry> abandoned_;  // still in the manifest, and no longer after a save
  std::unique_ptr<Save> save_;              // under way
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
