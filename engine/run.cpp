#include "engine/run.h"

#include <algorithm>

#include "engine/device.h"
#include "engine/preflight.h"
#include "engine/run_files.h"
#include "engine/run_identity.h"
#include "engine/run_options.h"
#include "engine/schedule.h"
#include "io/check.h"
#include "io/log.h"
#include "io/progress.h"
#include "kernels/machine_memory.h"

namespace mneme::engine {
namespace {

// The device tier of a reader: room for the rows of a micro-batch, or else they come in chunks.
constexpr std::uint64_t kReaderDeviceBytes = std::uint64_t{1} << 30;

memory::ValueTableOptions table_options(const Config& config, const RunOptions& options) {
  memory::ValueTableOptions table = value_table_options(config, options.id);
  table.read_only = options.read_only;
  if (!options.schedule.empty()) {
    table.optimizer.learning_rate = value_schedule(options.schedule, config);
  }
  return table;
}

}  // namespace

Run::Run(const Config& config, io::Disk& disk, const RunOptions& options)
    : config_(config), backend_(make_backend(config.run)), stream_(backend_->create_stream()) {
  const io::Phase phase("making room for the model and its rows");
  CHECK(!config_.tiers.automatic.any(), "budgets of tiers that nobody has chosen");
  if (config_.has_memory()) {
    check_tier_memory(config_, device_has_memory(config_.run), kernels::free_memory_bytes());
    table_ = std::make_unique<memory::ValueTable>(*backend_, disk, table_options(config_, options));
  }
  model_ = std::make_unique<Model>(*backend_, model_options(config_), table_.get());
  optimizer_ = std::make_unique<DenseOptimizer>(*backend_, model_->parameters(),
                                                dense_optimizer_options(config_));
  std::vector<offload::TieredStore*> stores;
  if (table_) stores.push_back(&table_->store());
  checkpoints_ = std::make_unique<Checkpointer>(
      disk, *backend_, *stream_, model_->parameters(), stores,
      CheckpointOptions{.run_directory = config_.run.directory,
                        .keep = static_cast<std::uint32_t>(config_.checkpoint.keep),
                        .run_id = options.id});
}

Run::~Run() = default;

void Run::initialize() {
  model_->parameters().initialize(*stream_, config_.run.seed);
}

CheckpointEntry Run::load(const Manifest& manifest, std::optional<std::uint64_t> step) {
  return checkpoints_->load(manifest, step);
}

void Run::save(std::uint64_t step, const RunRecord& record, const MarkMetrics& metrics) {
  stream_->synchronize();
  checkpoints_->save(step, record, metrics);
}

void Run::begin_save(std::uint64_t step, const RunRecord& record, const MarkMetrics& metrics) {
  stream_->synchronize();
  checkpoints_->begin(step, record, metrics);
}

ReadRun read_run(const RunDirectory& directory, std::span<const std::string> overrides,
                 std::optional<std::uint64_t> step) {
  const Config recorded = directory.config();
  Config config = directory.config(overrides);
  check_identity(recorded, config, RunUse::kRead, directory.manifest_file());
  directory.check_tokenizer();
  if (const std::string problem = directory.config_file_problem(); !problem.empty()) {
    io::warn("{}", problem);
  }
  const bool device_asked_for =
      std::any_of(overrides.begin(), overrides.end(),
                  [](const std::string& text) { return text.starts_with("run.device="); });
  if (!device_asked_for) config.run.device = DeviceKind::kAuto;
  if (config.has_memory()) {
    // Leases that only read fill their own part of the device tier, and leave nothing in the
    // host's.
    offload::TierOptions& tiers = config.tiers.store;
    tiers.host_bytes = 0;
    tiers.evaluation_share = 0.9;
    const std::uint64_t least =
        offload::minimum_device_bytes(memory::store_options(value_table_options(config, 0)).layout);
    const std::uint64_t most = std::max(least, kReaderDeviceBytes);
    tiers.device_bytes = config.tiers.automatic.device ? most : std::min(tiers.device_bytes, most);
  }
  config.tiers.automatic = {};
  ReadRun read;
  read.run = std::make_unique<Run>(config, directory.disk(),
                                   RunOptions{.id = directory.manifest().run.id,
                                              .schedule = directory.manifest().run.schedule,
                                              .read_only = true});
  read.step = read.run->load(directory.manifest(), step).step;
  return read;
}

}  // namespace mneme::engine
