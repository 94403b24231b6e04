#include "engine/run_options.h"

#include "engine/row_gradient_choice.h"
#include "engine/run_files.h"
#include "engine/schedule.h"
#include "offload/store_options.h"

namespace mneme::engine {

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
  options.feed_forward = config.model.feed_forward;
  options.moe = {.experts = config.moe.experts,
                 .hidden = config.moe.hidden,
                 .routing = config.moe.routing,
                 .balance_loss = config.moe.balance_loss};
  if (!config.has_memory()) return options;
  const MemoryConfig& memory = config.memory;
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

memory::ValueTableOptions value_table_options(const Config& config, std::uint64_t run_id) {
  const MemoryOptimizerConfig& optimizer = config.memory.optimizer;
  memory::ValueTableOptions options;
  options.table = 0;
  options.run_id = run_id;
  options.rows = config.table_rows();
  options.width = config.value_width();
  options.parts = config.row_parts();
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
  options.paths = rows_paths(config, run_id, options.table);
  if (config.saves_behind_training()) options.save_bytes = config.checkpoint.copy_bytes;
  options.tokens_per_call = config.tokens_per_micro_batch();
  options.lookups_per_token = config.memory.heads * config.memory.knn;
  const auto layers = std::ssize(config.table_blocks());
  options.gradient_calls_per_step = layers * config.train.micro_batches;
  options.gradient_calls_kept = layers * kept_micro_batches(config);
  options.accumulates_gradient = accumulates_row_gradient(config);
  return options;
}

DenseOptimizerOptions dense_optimizer_options(const Config& config) {
  const OptimizerConfig& optimizer = config.optimizer;
  return {.learning_rate = make_schedule(config.train, optimizer.learning_rate),
          .beta1 = optimizer.beta1,
          .beta2 = optimizer.beta2,
          .epsilon = optimizer.epsilon,
          .weight_decay = optimizer.weight_decay,
          .clip_norm = optimizer.clip_norm};
}

io::RecordFileShape rows_shape(const Config& config, std::uint64_t run_id) {
  return offload::rows_file_shape(memory::store_options(value_table_options(config, run_id)));
}

}  // namespace mneme::engine
