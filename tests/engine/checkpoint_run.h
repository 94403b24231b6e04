// A small store with a dense parameter, trained and checkpointed on a simulated disk, for tests of
// what a crash leaves behind.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/checkpoint.h"
#include "tests/offload/store_run.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::engine::testing {

// What one committed checkpoint holds.
struct SavedState {
  std::uint64_t step = 0;
  std::vector<std::byte> records;
  std::vector<float> dense;
  std::size_t rename_operation = 0;  // first log position at which the save may show
  std::size_t saved_operation = 0;   // log position from which it must show
};

class CheckpointRun {
 public:
  static constexpr std::uint64_t kRows = 48;
  static constexpr const char* kDirectory = "/run/checkpoints";

  CheckpointRun(kernels::Backend& backend, io::Disk& disk, std::uint64_t seed)
      : backend_(backend),
        stream_(backend.create_stream()),
        options_(store_options()),
        store_(backend, disk, options_),
        run_(backend, store_, seed),
        parameters_(backend, {{.name = "w", .shape = {5, 3}, .init = {}}}),
        disk_(disk),
        checkpoints_(disk, backend, *stream_, parameters_, {&store_},
                     {.run_directory = "/run", .keep = 2, .run_id = 9}) {
    disk.make_directories("/run/checkpoints");
  }

  static offload::StoreOptions store_options() {
    offload::StoreOptions options = offload::testing::small_store(kRows);
    options.tiers.device_bytes = offload::testing::bytes_for_slots(options, 8);
    options.tiers.host_bytes = 16 * 128;
    options.tiers.io_depth = 4;
    return options;
  }

  void step(std::uint64_t step) {
    run_.step(step, 24);
    parameters_.write(*stream_, ParameterBuffer::kValues, parameters_.find("w"),
                      std::vector<float>(15, static_cast<float>(step)));
  }
  SavedState state(std::uint64_t step) {
    return {step, run_.all_records(),
            parameters_.read(*stream_, ParameterBuffer::kValues, parameters_.find("w")), 0, 0};
  }
  bool has_checkpoint() const { return manifest_exists(disk_, kDirectory); }
  std::uint64_t load(std::optional<std::uint64_t> step = {}) {
    return checkpoints_.load(read_manifest(disk_, kDirectory), step).step;
  }
  void save(std::uint64_t step) {
    checkpoints_.save(step, record(), [] { return MetricsMark{}; });
  }
  void begin(std::uint64_t step) {
    checkpoints_.begin(step, record(), [] { return MetricsMark{}; });
  }
  Checkpointer& checkpoints() { return checkpoints_; }
  static RunRecord record() {
    return {.id = 9, .config = "", .data = {}, .validation_data = {}, .schedule = {{1, {}}}};
  }
  offload::TieredStore& store() { return store_; }

 private:
  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  offload::StoreOptions options_;
  offload::TieredStore store_;
  offload::testing::StoreRun run_;
  Parameters parameters_;
  io::Disk& disk_;
  Checkpointer checkpoints_;
};

}  // namespace mneme::engine::testing
