#include "engine/config_scale.h"

#include <algorithm>

#include "engine/row_gradient_choice.h"
#include "io/check.h"

namespace mneme::engine {
namespace {

constexpr std::uint64_t kLeastDiskBytes = std::uint64_t{1} << 20;

std::int64_t even(std::int64_t value) {
  return std::max<std::int64_t>(2, value / 2 * 2);
}

void scale_model(ModelConfig& model, std::int64_t scale) {
  const auto divided = [&](std::int64_t value) { return std::max<std::int64_t>(1, value / scale); };
  const std::int64_t width = divided(model.width);
  std::int64_t heads = divided(model.attention_heads);
  while (width / heads > kernels::kMaxHeadWidth) ++heads;
  model.attention_heads = heads;
  model.width = heads * even(width / heads);
  model.kv_heads = divided(model.kv_heads);
  while (heads % model.kv_heads != 0) --model.kv_heads;
  model.feed_forward_hidden = divided(model.feed_forward_hidden);
}

void scale_tiers(Config& config, std::uint64_t scale) {
  const std::uint64_t volume = scale * scale * scale;
  offload::TierOptions& store = config.tiers.store;
  const std::uint64_t least = offload::minimum_device_bytes(row_layout(config));
  store.device_bytes = std::max(least, store.device_bytes / volume);
  store.host_bytes /= volume;
  if (store.disk_bytes > 0) {
    store.disk_bytes = std::max(kLeastDiskBytes, store.disk_bytes / scale / scale);
  }
  apply_tier_shares(config);
}

}  // namespace

Config scaled_down(Config config, std::int64_t scale) {
  CHECK(scale >= 1 && scale <= kMostScale);
  if (scale == 1) return config;
  const auto divided = [&](std::int64_t value) { return std::max<std::int64_t>(1, value / scale); };
  scale_model(config.model, scale);
  if (config.moe.hidden > 0) config.moe.hidden = divided(config.moe.hidden);
  config.train.sequence = divided(config.train.sequence);
  config.train.micro_batches =
      std::max<std::int64_t>(1, config.train.micro_batches / scale / scale);
  MemoryConfig& memory = config.memory;
  if (memory.value_width > 0) memory.value_width = divided(memory.value_width);
  memory.key_width = even(memory.key_width / scale);
  memory.half_keys = divided(memory.half_keys);
  memory.knn = std::min(memory.knn, memory.half_keys);
  scale_tiers(config, static_cast<std::uint64_t>(scale));
  check_config(config);
  return config;
}

}  // namespace mneme::engine
