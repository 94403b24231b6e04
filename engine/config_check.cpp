#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "engine/config_keys.h"
#include "engine/prompt.h"
#include "engine/row_gradient_choice.h"
#include "engine/run_options.h"
#include "io/error.h"
#include "kernels/catch_up_table.h"
#include "memory/lookup_set.h"
#include "memory/row_optimizer.h"

namespace mneme::engine {
namespace {

// Fails with the place of the first of `names` that was set, by --set rather than in a file; the
// others are at their defaults.
template <typename... Args>
[[noreturn]] void reject(const KeyPlaces& places, std::initializer_list<const char*> names,
                         fmt::format_string<Args...> format, Args&&... args) {
  const std::string message = fmt::format(format, std::forward<Args>(args)...);
  for (const bool by_override : {true, false}) {
    for (const char* name : names) {
      const auto place = places.find(name);
      if (place == places.end() || (by_override && !place->second.starts_with("--set "))) continue;
      io::fail("{}: {}: {}", place->second, name, message);
    }
  }
  io::fail("{}: {}", *names.begin(), message);
}

void check_model(const ModelConfig& model, const KeyPlaces& places) {
  if (model.width % model.attention_heads != 0) {
    reject(places, {"model.attention_heads", "model.width"},
           "model.width {} is not a multiple of model.attention_heads {}", model.width,
           model.attention_heads);
  }
  const std::int64_t head_width = model.width / model.attention_heads;
  if (head_width % 2 != 0) {
    reject(places, {"model.attention_heads", "model.width"},
           "the rotary embedding needs an even head width, but {} / {} is {}", model.width,
           model.attention_heads, head_width);
  }
  if (head_width > kernels::kMaxHeadWidth) {
    reject(places, {"model.attention_heads", "model.width"},
           "heads are at most {} wide, but {} / {} is {}; use more model.attention_heads",
           kernels::kMaxHeadWidth, model.width, model.attention_heads, head_width);
  }
  if (model.attention_heads % model.kv_heads != 0) {
    reject(places, {"model.kv_heads", "model.attention_heads"},
           "{} key and value heads do not divide {} attention heads", model.kv_heads,
           model.attention_heads);
  }
}

void check_blocks(const ModelConfig& model, const KeyPlaces& places) {
  if (model.feed_forward.last() < model.blocks) return;
  reject(places, {"model.feed_forward", "memory.blocks", "model.blocks"},
         "block {} does not exist: the model has blocks 0 to {}", model.feed_forward.last(),
         model.blocks - 1);
}

void check_device_tier(const Config& config, const KeyPlaces& places) {
  if (config.tiers.automatic.device) return;
  const std::uint64_t bytes = config.tiers.store.device_bytes;
  const std::uint64_t least = offload::minimum_device_bytes(row_layout(config));
  if (bytes == 0) {
    reject(places, {"tiers.device_bytes"},
           "a memory needs a device tier; give it a budget such as \"64MiB\", at least {} bytes",
           least);
  }
  if (bytes < least) {
    reject(places, {"tiers.device_bytes", "memory.value_width", "model.width"},
           "a device tier of {} bytes is too small: rows of width {} need at least {} bytes", bytes,
           config.value_width(), least);
  }
}

void check_memory(const Config& config, const KeyPlaces& places) {
  const MemoryConfig& memory = config.memory;
  if (!config.has_memory()) return;
  if (memory.knn > memory.half_keys) {
    reject(places, {"memory.knn", "memory.half_keys"},
           "{} rows a head cannot be chosen among {} half-keys a side", memory.knn,
           memory.half_keys);
  }
  if (memory.key_width % 2 != 0) {
    reject(places, {"memory.key_width"}, "a key has two halves, so {} must be even",
           memory.key_width);
  }
  if (config.row_parts() == 2 && config.value_width() != config.model.width) {
    reject(places, {"memory.value_width", "model.width", "model.feed_forward"},
           "PEER's experts read and write the residual stream: rows of width {} must be as wide as "
           "the model, {}",
           config.value_width(), config.model.width);
  }
  check_device_tier(config, places);
}

void check_lookahead(const TiersConfig& tiers, const KeyPlaces& places) {
  std::vector<std::int64_t> distances = tiers.lookahead_distances;
  if (distances.empty()) {
    reject(places, {"tiers.lookahead_distances"}, "name one distance at the least, as in [1]");
  }
  std::sort(distances.begin(), distances.end());
  const auto twice = std::adjacent_find(distances.begin(), distances.end());
  if (twice != distances.end()) {
    reject(places, {"tiers.lookahead_distances"}, "{} is there twice", *twice);
  }
}

void check_disks(const TiersConfig& tiers, const KeyPlaces& places) {
  std::set<std::string> folders;
  for (const std::string& folder : tiers.disk_paths) {
    if (folder.empty()) reject(places, {"tiers.disk_paths"}, "a path must not be empty");
    const auto normal = (std::filesystem::path(folder) / "").lexically_normal();
    if (folders.insert(normal.string()).second) continue;
    reject(places, {"tiers.disk_paths"}, "{} is there twice; name a folder on each disk", folder);
  }
}

void check_train(const Config& config, const KeyPlaces& places) {
  const TrainConfig& train = config.train;
  if (train.schedule != ScheduleKind::kConstant && train.warmup_steps > train.steps) {
    reject(places, {"train.warmup_steps", "train.steps"},
           "{} warm-up steps in a run of {} steps; shorten the warm-up as well, for instance with "
           "--set train.warmup_steps={}",
           train.warmup_steps, train.steps, train.steps / 10);
  }
  // Products are compared by division, so that none can overflow.
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 28;
  if (train.batch > kMostTokens / train.sequence) {
    reject(places, {"train.batch", "train.sequence"},
           "a micro-batch of {} x {} tokens is beyond {}; use more train.micro_batches",
           train.batch, train.sequence, kMostTokens);
  }
  const MemoryConfig& memory = config.memory;
  if (!config.has_memory()) return;
  const std::int64_t tokens = config.tokens_per_micro_batch();
  const std::int64_t rows = memory.heads * memory.knn;
  if (tokens > memory::kMostLookups / rows) {
    reject(places, {"train.batch", "train.sequence"},
           "a micro-batch of {} tokens with {} rows each is beyond {} look-ups; use more "
           "train.micro_batches",
           tokens, rows, memory::kMostLookups);
  }
  const auto blocks = std::ssize(config.table_blocks());
  if (kept_micro_batches(config) > memory::kMostLookups / (tokens * rows) / blocks) {
    reject(places, {"train.micro_batches", "train.batch", "train.sequence", "model.feed_forward"},
           "a step of {} micro-batches, {} memory layers and {} tokens with {} rows each is beyond "
           "{} look-ups; use fewer tokens a step, or memory.row_gradient = \"accumulated\"",
           train.micro_batches, blocks, tokens, rows, memory::kMostLookups);
  }
}

// In one step a weight loses rate * decay of itself. The schedule never exceeds its peak.
void check_decay(const std::string& section, double peak, double decay, const KeyPlaces& places) {
  if (kernels::leaves_decay_factor(peak, decay)) return;
  const std::string rate_key = section + ".learning_rate";
  const std::string decay_key = section + ".weight_decay";
  reject(places, {rate_key.c_str(), decay_key.c_str()},
         "a step of learning rate {} with weight decay {} leaves nothing of a weight; lower one of "
         "them, their product must be below 1",
         peak, decay);
}

void check_optimizers(const Config& config, const KeyPlaces& places) {
  check_decay("optimizer", config.optimizer.learning_rate, config.optimizer.weight_decay, places);
  if (!config.has_memory()) return;
  const memory::RowOptimizerOptions rows = value_table_options(config, 0).optimizer;
  check_decay("memory.optimizer", config.memory.optimizer.learning_rate, rows.weight_decay, places);
  if (const auto problem = memory::find_problem(rows)) {
    const std::string key = std::string("memory.optimizer.") + problem->field;
    reject(places, {key.c_str(), "memory.optimizer.beta2", "memory.optimizer.kind"}, "{} {}", key,
           problem->text);
  }
}

void check_sample(const Config& config, const KeyPlaces& places) {
  if (config.sample.tokens == 0) return;
  // What a tokenizer makes of it is known once its file is read.
  const bool is_bytes = config.data.tokenizer.empty();
  const std::string problem =
      prompt_problem(config.sample.prompt, is_bytes ? config.data.vocabulary : 256);
  if (!problem.empty()) {
    reject(places, {"sample.prompt", "data.vocabulary", "sample.tokens"}, "{}", problem);
  }
}

}  // namespace

void check_relations(const Config& config, const KeyPlaces& places) {
  if (config.run.directory.empty()) reject(places, {"run.directory"}, "must not be empty");
  if (config.data.format == DataFormat::kBytes && config.data.vocabulary < 256) {
    reject(places, {"data.vocabulary", "data.format"}, "bytes need a vocabulary of 256, not {}",
           config.data.vocabulary);
  }
  if (config.data.separator >= config.data.vocabulary) {
    reject(places, {"data.separator", "data.vocabulary"},
           "token {} is outside data.vocabulary {}; name a token of the data, or -1 for none",
           config.data.separator, config.data.vocabulary);
  }
  check_model(config.model, places);
  check_blocks(config.model, places);
  check_memory(config, places);
  check_disks(config.tiers, places);
  check_lookahead(config.tiers, places);
  check_train(config, places);
  check_optimizers(config, places);
  check_sample(config, places);
}

}  // namespace mneme::engine
