#include "engine/model_options.h"

#include <cmath>

#include "engine/memory_part.h"
#include "engine/moe_part.h"
#include "engine/table_part.h"
#include "io/error.h"

namespace mneme::engine {
namespace {

void require_positive(std::int64_t value, const char* name) {
  if (value <= 0) io::fail("model option {} is {}; it must be at least 1", name, value);
}

}  // namespace

ModelOptions resolve(ModelOptions options) {
  require_positive(options.vocabulary, "vocabulary");
  require_positive(options.width, "width");
  require_positive(options.blocks, "blocks");
  require_positive(options.attention_heads, "attention_heads");
  require_positive(options.kv_heads, "kv_heads");
  require_positive(options.batch, "batch");
  require_positive(options.sequence, "sequence");
  for (std::int64_t block = 0; block < options.blocks; ++block) {
    if (options.feed_forward.of(block) != FeedForwardKind::kDense) continue;
    require_positive(options.feed_forward_hidden, "feed_forward_hidden");
  }
  if (options.width % options.attention_heads != 0 || options.head_width() % 2 != 0) {
    io::fail("width {} does not give {} attention heads of an even width; change one of them",
             options.width, options.attention_heads);
  }
  if (options.attention_heads % options.kv_heads != 0) {
    io::fail("{} kv_heads do not divide {} attention_heads", options.kv_heads,
             options.attention_heads);
  }
  if (options.feed_forward.last() >= options.blocks) {
    io::fail("feed_forward names block {}, and there are {}", options.feed_forward.last(),
             options.blocks);
  }
  if (options.moe.hidden == 0) options.moe.hidden = options.feed_forward_hidden;
  if (options.feed_forward.has(FeedForwardKind::kMoe)) {
    require_positive(options.moe.experts, "moe.experts");
    require_positive(options.moe.hidden, "moe.hidden");
  }
  options.memory.width = options.width;
  options.memory.tokens = options.tokens();
  if (options.memory.value_width == 0) options.memory.value_width = options.width;
  return options;
}

std::vector<ParameterDeclaration> declare_parameters(const ModelOptions& given) {
  const ModelOptions options = resolve(given);
  const std::int64_t width = options.width;
  const std::int64_t kv_width = options.kv_width();
  const std::int64_t hidden = options.feed_forward_hidden;
  const ParameterInit ones{InitKind::kOnes, 0};
  const auto normal = [](std::int64_t fan_in) {
    return ParameterInit{InitKind::kNormal, 1 / std::sqrt(static_cast<double>(fan_in))};
  };
  const double branches = 2 * static_cast<double>(options.blocks);
  const auto residual = [&](std::int64_t fan_in) {
    ParameterInit init = normal(fan_in);
    init.scale /= std::sqrt(branches);
    return init;
  };

  std::vector<ParameterDeclaration> declarations;
  const auto declare = [&](std::string name, std::vector<std::int64_t> shape, ParameterInit init) {
    declarations.push_back({std::move(name), std::move(shape), init, ParameterGroup::kTransformer});
  };
  declare("tok_embeddings.weight", {options.vocabulary, width}, normal(width));
  for (std::int64_t block = 0; block < options.blocks; ++block) {
    const std::string prefix = fmt::format("layers.{}", block);
    declare(prefix + ".attention_norm.weight", {width}, ones);
    declare(prefix + ".attention.wq.weight", {width, width}, normal(width));
    declare(prefix + ".attention.wk.weight", {kv_width, width}, normal(width));
    declare(prefix + ".attention.wv.weight", {kv_width, width}, normal(width));
    declare(prefix + ".attention.wo.weight", {width, width}, residual(width));
    declare(prefix + ".ffn_norm.weight", {width}, ones);
    const FeedForwardKind kind = options.feed_forward.of(block);
    if (kind == FeedForwardKind::kDense) {
      declare(prefix + ".feed_forward.w1.weight", {hidden, width}, normal(width));
      declare(prefix + ".feed_forward.w2.weight", {width, hidden}, residual(hidden));
      declare(prefix + ".feed_forward.w3.weight", {hidden, width}, normal(width));
      continue;
    }
    std::vector<ParameterDeclaration> layer;
    if (kind == FeedForwardKind::kMoe) {
      layer = declare_moe_parameters(options, prefix + ".moe", 1 / std::sqrt(branches));
    } else if (kind == FeedForwardKind::kMemory) {
      layer = declare_memory_parameters(options.memory, prefix + ".memory");
    } else {
      layer = declare_key_parameters(options.memory, prefix + ".memory");
    }
    for (auto& one : layer) declarations.push_back(std::move(one));
  }
  declare("norm.weight", {width}, ones);
  if (!options.tied_output) declare("output.weight", {options.vocabulary, width}, normal(width));
  return declarations;
}

}  // namespace mneme::engine
