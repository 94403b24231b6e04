// The parts of one run put together from its configuration: backend, value table, model, optimiser,
// checkpoints. Training, evaluation, generation and export all start from here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/checkpoint.h"
#include "engine/config.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "io/disk.h"
#include "kernels/backend.h"
#include "memory/value_table.h"

namespace mneme::engine {

// The keys of a configuration that decide what a checkpoint holds and how training goes on from it;
// a run may be resumed with other tiers, threads, intervals and numbers of steps kept.
std::map<std::string, std::string> checkpoint_identity(const Config& config);

ModelOptions model_options(const Config& config);
memory::ValueTableOptions value_table_options(const Config& config);

class Run {
 public:
  // Allocates everything; parameters are zero until initialize() or load(). `disk` must outlive the
  // run. Throws Error.
  Run(const Config& config, io::Disk& disk);
  ~Run();

  // A fresh start: parameters drawn from the seed.
  void initialize();
  // The state of a checkpoint, the newest unless a step is given; the step it is of.
  std::uint64_t load(std::optional<std::uint64_t> step = {});
  void save(std::uint64_t step);

  const Config& config() const { return config_; }
  kernels::Backend& backend() { return *backend_; }
  kernels::Stream& stream() { return *stream_; }
  Model& model() { return *model_; }
  DenseOptimizer& optimizer() { return *optimizer_; }
  memory::ValueTable* table() { return table_.get(); }  // null without memory
  Checkpointer& checkpoints() { return *checkpoints_; }

 private:
  Config config_;
  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<kernels::Stream> stream_;
  std::unique_ptr<memory::ValueTable> table_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<DenseOptimizer> optimizer_;
  std::unique_ptr<Checkpointer> checkpoints_;
};

}  // namespace mneme::engine
