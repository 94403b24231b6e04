// The parts of one run put together from its configuration: backend, value table, model, optimiser,
// checkpoints. Training, evaluation, generation and export all start from here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/config.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/run_directory.h"
#include "io/disk.h"
#include "kernels/backend.h"
#include "memory/value_table.h"

namespace mneme::engine {

struct RunOptions {
  std::uint64_t id = 0;
  // Of the values' learning rates; empty: the configuration's from step 1 on.
  std::vector<ScheduleSegment> schedule;
  // Checkpoints are loaded and not written; the rows file is opened for reading.
  bool read_only = false;
};

class Run {
 public:
  // Allocates everything; parameters are zero until initialize() or load(). `disk` must outlive the
  // run. Writes nothing. Throws Error.
  Run(const Config& config, io::Disk& disk, const RunOptions& options = {});
  ~Run();

  // A fresh start: parameters drawn from the seed.
  void initialize();
  // The state of a checkpoint, the newest unless a step is given; its entry.
  CheckpointEntry load(const Manifest& manifest, std::optional<std::uint64_t> step = {});
  void save(std::uint64_t step, const RunRecord& record, const MarkMetrics& metrics);
  // The same while training goes on (checkpoint.h).
  void begin_save(std::uint64_t step, const RunRecord& record, const MarkMetrics& metrics);
  Checkpointer& checkpoints() { return *checkpoints_; }

  const Config& config() const { return config_; }
  kernels::Backend& backend() { return *backend_; }
  kernels::Stream& stream() { return *stream_; }
  Model& model() { return *model_; }
  DenseOptimizer& optimizer() { return *optimizer_; }
  memory::ValueTable* table() { return table_.get(); }  // null without memory

 private:
  Config config_;
  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<kernels::Stream> stream_;
  std::unique_ptr<memory::ValueTable> table_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<DenseOptimizer> optimizer_;
  std::unique_ptr<Checkpointer> checkpoints_;
};

// A checkpoint opened to be read, with everything that its configuration asks of the machine but a
// reader does not need left out: the device of the run where this machine has none, and its tiers.
struct ReadRun {
  std::unique_ptr<Run> run;
  std::uint64_t step = 0;
};
// The overrides may change what a checkpoint does not hold. Throws Error as RunDirectory does, and
// naming the key that an override must not change.
ReadRun read_run(const RunDirectory& directory, std::span<const std::string> overrides = {},
                 std::optional<std::uint64_t> step = {});

}  // namespace mneme::engine
