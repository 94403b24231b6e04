#include "engine/run.h"

#include <algorithm>

#include "engine/config_keys.h"
#include "engine/device.h"
#include "engine/schedule.h"

namespace mneme::engine {
namespace {

// Keys outside of whole sections that are part of a run's identity.
bool identifies(const std::string& key, const Config& config) {
  const auto in = [&](const char* prefix) { return key.rfind(prefix, 0) == 0; };
  if (in("model.") || in("memory.") || in("optimizer.") || in("data.")) return true;
  // A schedule that does not end is the same for any number of steps.
  if (key == "train.steps" || key == "train.min_ratio") {
    return config.train.schedule != ScheduleKind::kConstant;
  }
  return key == "run.seed" || key == "train.batch" || key == "train.sequence" ||
         key == "train.micro_batches" || key == "train.warmup_steps" || key == "train.schedule";
}

}  // namespace

std::map<std::string, std::string> checkpoint_identity(const Config& config) {
  Config copy = config;
  std::map<std::string, std::string> identity;
  for (const Key& key : config_keys(copy)) {
    if (identifies(key.name, config)) identity[key.name] = format_value(key.value);
  }
  return identity;
}

ModelOptions model_options(const Config& config) {
  ModelOptions options;
  options.vocabulary = config.data.vocabulary;
  options.width = config.model.width;
  options.blocks = config.model.blocks;
  options.attention_heads = config.model.attention_heads;
  options.kv_heads = config.model.kv_heads;
  options.feed_forward_hidden = config.model.feed_forward_hidden;
  options.rope_theta = config.model.rope_theta;
  options.norm_epsilon = config.model.norm_epsilon;
  options.tied_output = config.model.tied_output;
  options.batch = config.train.batch;
  options.sequence = config.train.sequence;
  if (!config.has_memory()) return options;
  const MemoryConfig& memory = config.memory;
  options.memory_blocks = memory.blocks;
  options.memory.heads = memory.heads;
  options.memory.knn = memory.knn;
  options.memory.half_keys = memory.half_keys;
  options.memory.key_width = memory.key_width;
  options.memory.value_width = config.value_width();
  options.memory.gate = memory.gate;
  options.memory.scalar_gate = memory.scalar_gate;
  options.memory.query_key_norm = memory.query_key_norm;
  return options;
}

memory::ValueTableOptions value_table_options(const Config& config) {
  const MemoryOptimizerConfig& optimizer = config.memory.optimizer;
  memory::ValueTableOptions options;
  options.table = 0;
  options.rows = config.table_rows();
  options.width = config.value_width();
  options.value_type = config.memory.value_type;
  options.moment_type = config.memory.moment_type;
  options.seed = config.run.seed;
  options.optimizer = {.kind = optimizer.kind,
                       .learning_rate = make_schedule(config.train, optimizer.learning_rate),
                       .beta1 = optimizer.beta1,
                       .beta2 = optimizer.beta2,
                       .epsilon = optimizer.epsilon,
                       .weight_decay = optimizer.weight_decay,
                       .clip_norm = optimizer.clip_norm};
  options.tiers = config.tiers.store;
  options.path = Checkpointer::rows_path(config.run.directory, options.table);
  options.tokens_per_call = config.tokens_per_micro_batch();
  options.lookups_per_token = config.memory.heads * config.memory.knn;
  options.gradient_calls_per_step =
      static_cast<std::int64_t>(config.memory.blocks.size()) * config.train.micro_batches;
  return options;
}

Run::Run(const Config& config, io::Disk& disk)
    : config_(config), backend_(make_backend(config.run)), stream_(backend_->create_stream()) {
  disk.make_directories(config.run.directory + "/rows");
  if (config_.has_memory()) {
    table_ = std::make_unique<memory::ValueTable>(*backend_, disk, value_table_options(config_));
  }
  model_ = std::make_unique<Model>(*backend_, model_options(config_), table_.get());
  optimizer_ = std::make_unique<DenseOptimizer>(
      *backend_, model_->parameters(),
      DenseOptimizerOptions{
          .learning_rate = make_schedule(config_.train, config_.optimizer.learning_rate),
          .beta1 = config_.optimizer.beta1,
          .beta2 = config_.optimizer.beta2,
          .epsilon = config_.optimizer.epsilon,
          .weight_decay = config_.optimizer.weight_decay,
          .clip_norm = config_.optimizer.clip_norm});
  std::vector<offload::TieredStore*> stores;
  if (table_) stores.push_back(&table_->store());
  checkpoints_ = std::make_unique<Checkpointer>(
      disk, *stream_, &model_->parameters(), stores,
      CheckpointOptions{.run_directory = config_.run.directory,
                        .keep = static_cast<std::uint32_t>(config_.checkpoint.keep),
                        .identity = checkpoint_identity(config_)});
}

Run::~Run() = default;

void Run::initialize() {
  model_->parameters().initialize(*stream_, config_.run.seed);
}

std::uint64_t Run::load(std::optional<std::uint64_t> step) {
  return checkpoints_->load(step).step;
}

void Run::save(std::uint64_t step) {
  stream_->synchronize();
  checkpoints_->save(step, {});
}

}  // namespace mneme::engine
