#include <string>

#include "engine/config_keys.h"
#include "engine/prompt.h"
#include "io/error.h"

namespace mneme::engine {
namespace {

// Fails with the place of the first of `names` that was set; the others are at their defaults.
template <typename... Args>
[[noreturn]] void reject(const KeyPlaces& places, std::initializer_list<const char*> names,
                         fmt::format_string<Args...> format, Args&&... args) {
  const std::string message = fmt::format(format, std::forward<Args>(args)...);
  for (const char* name : names) {
    if (const auto place = places.find(name); place != places.end()) {
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
  if (model.attention_heads % model.kv_heads != 0) {
    reject(places, {"model.kv_heads", "model.attention_heads"},
           "{} key and value heads do not divide {} attention heads", model.kv_heads,
           model.attention_heads);
  }
}

void check_memory(const Config& config, const KeyPlaces& places) {
  const MemoryConfig& memory = config.memory;
  if (memory.kind == FeedForwardKind::kNone) {
    if (!memory.blocks.empty()) {
      reject(places, {"memory.blocks"}, "blocks are listed but memory.kind is \"none\"");
    }
    return;
  }
  if (memory.blocks.empty()) {
    reject(places, {"memory.blocks", "memory.kind"},
           "a memory needs at least one block in memory.blocks");
  }
  for (std::size_t i = 0; i < memory.blocks.size(); ++i) {
    if (memory.blocks[i] >= config.model.blocks) {
      reject(places, {"memory.blocks", "model.blocks"},
             "block {} does not exist: the model has blocks 0 to {}", memory.blocks[i],
             config.model.blocks - 1);
    }
    if (i > 0 && memory.blocks[i] <= memory.blocks[i - 1]) {
      reject(places, {"memory.blocks"}, "blocks must ascend, but {} follows {}", memory.blocks[i],
             memory.blocks[i - 1]);
    }
  }
  if (memory.knn > memory.half_keys) {
    reject(places, {"memory.knn", "memory.half_keys"},
           "{} rows a head cannot be chosen among {} half-keys a side", memory.knn,
           memory.half_keys);
  }
  if (memory.key_width % 2 != 0) {
    reject(places, {"memory.key_width"}, "a key has two halves, so {} must be even",
           memory.key_width);
  }
  if (config.tiers.store.device_bytes == 0) {
    reject(places, {"tiers.device_bytes"},
           "a memory needs a device tier; give it a budget such as \"64MiB\"");
  }
}

void check_train(const Config& config, const KeyPlaces& places) {
  const TrainConfig& train = config.train;
  if (train.schedule != ScheduleKind::kConstant && train.warmup_steps > train.steps) {
    reject(places, {"train.warmup_steps", "train.steps"}, "{} warm-up steps in a run of {} steps",
           train.warmup_steps, train.steps);
  }
  // Products are compared by division, so that none can overflow.
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 28;
  if (train.batch > kMostTokens / train.sequence) {
    reject(places, {"train.batch", "train.sequence"},
           "a micro-batch of {} x {} tokens is beyond {}; use more train.micro_batches",
           train.batch, train.sequence, kMostTokens);
  }
  const MemoryConfig& memory = config.memory;
  constexpr std::int64_t kMostLookups = (std::int64_t{1} << 32) - 2;
  if (config.has_memory() &&
      config.tokens_per_micro_batch() > kMostLookups / (memory.heads * memory.knn)) {
    reject(places, {"train.batch", "train.sequence"},
           "a micro-batch of {} tokens with {} rows each is beyond {} look-ups; use more "
           "train.micro_batches",
           config.tokens_per_micro_batch(), memory.heads * memory.knn, kMostLookups);
  }
}

void check_sample(const Config& config, const KeyPlaces& places) {
  if (config.sample.tokens == 0) return;
  const std::string problem = prompt_problem(config.sample.prompt, config.data.vocabulary);
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
  check_model(config.model, places);
  check_memory(config, places);
  check_train(config, places);
  check_sample(config, places);
}

}  // namespace mneme::engine
