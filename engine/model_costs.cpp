#include "engine/model_costs.h"

#include <algorithm>
#include <string_view>

#include "engine/model_options.h"
#include "engine/parameters.h"
#include "engine/row_gradient_choice.h"
#include "engine/run_options.h"

namespace mneme::engine {
namespace {

constexpr std::string_view kEmbedding = "tok_embeddings.weight";

bool is_half_keys(const ParameterDeclaration& parameter) {
  return parameter.group == ParameterGroup::kMemory && parameter.name.ends_with(".keys");
}

bool is_of_expert(const ParameterDeclaration& parameter) {
  return parameter.name.find(".moe.experts.") != parameter.name.npos;
}

std::int64_t& part_of(ParameterCounts& counts, const ParameterDeclaration& parameter) {
  const std::string_view name = parameter.name;
  if (name == kEmbedding) return counts.embedding;
  if (name == "output.weight") return counts.output;
  if (is_half_keys(parameter)) return counts.half_keys;
  if (parameter.group == ParameterGroup::kMemory) return counts.memory_projections;
  if (name.find(".attention.") != name.npos) return counts.attention;
  if (name.find(".feed_forward.") != name.npos) return counts.feed_forward;
  if (is_of_expert(parameter)) return counts.experts;
  if (name.find(".moe.router.") != name.npos) return counts.routers;
  return counts.norms;
}

// Every weight matrix is used in one product a token, and so is each half-key, but of a mixture's
// experts one is; the embedding is looked up, and used in a product only where it is the output
// head.
void add_products(ModelCosts& costs, const ParameterDeclaration& parameter, const Config& config) {
  const bool is_looked_up = parameter.name == kEmbedding && !config.model.tied_output;
  if (parameter.shape.size() < 2 || is_looked_up) return;
  // Of one expert: they are alike.
  if (is_of_expert(parameter) && parameter.name.find(".experts.0.") == parameter.name.npos) return;
  const std::int64_t product = 2 * parameter.count();
  if (is_half_keys(parameter)) {
    costs.forward.keys += product;
    return;
  }
  costs.forward.weights += product;
  costs.backward.weights += 2 * product;  // gradients of the input and of the weight
}

TableCosts table_costs(const Config& config) {
  const memory::ValueTableOptions options = value_table_options(config, 0);
  const offload::StoreOptions store = memory::store_options(options);
  TableCosts table;
  table.rows = options.rows;
  table.width = options.width;
  table.parts = options.parts;
  table.parameters = table.rows * static_cast<std::uint64_t>(table.width) *
                     static_cast<std::uint64_t>(table.parts);
  table.record_bytes = store.layout.record_bytes();
  table.bytes = table.rows * table.record_bytes;
  table.device_slot_bytes = offload::device_slot_bytes(store);
  const auto lookups = static_cast<std::uint64_t>(options.lookups_per_token);
  const BlockKinds& kinds = config.model.feed_forward;
  table.lookups_per_token = kinds.table_blocks().size() * lookups;
  table.parts_per_token =
      table.lookups_per_token + kinds.blocks_of(FeedForwardKind::kPeer).size() * lookups;
  table.gather_bytes_per_token = table.parts_per_token * store.layout.parts[0].value_bytes();
  table.tiers = offload::tier_sizes(store);
  table.gradient_bytes = factored_gradient_bytes(config, kept_micro_batches(config));
  table.accumulates_gradient = options.accumulates_gradient;
  const std::uint64_t room = std::uint64_t{table.tiers.training} + table.tiers.host;
  table.rows_beyond_memory = table.rows - std::min(room, table.rows);
  return table;
}

void add_lookups(ModelCosts& costs, const Config& config) {
  const auto lookups = static_cast<std::int64_t>(costs.table.lookups_per_token);
  const auto parts = static_cast<std::int64_t>(costs.table.parts_per_token);
  // A part is in one product forward and in two backward: the gradients of what it was multiplied
  // with, and its own.
  costs.forward.rows = 2 * parts * costs.table.width;
  costs.backward.rows = 4 * parts * costs.table.width;
  // A chosen row passes its gradient to two half-keys and to both halves of the query.
  costs.backward.keys = 4 * lookups * config.memory.key_width;
}

}  // namespace

std::int64_t ParameterCounts::total() const {
  return embedding + attention + feed_forward + experts + routers + half_keys + memory_projections +
         norms + output;
}

ModelCosts model_costs(const Config& config) {
  ModelCosts costs;
  const std::vector<ParameterDeclaration> declared = declare_parameters(model_options(config));
  for (const ParameterDeclaration& parameter : declared) {
    part_of(costs.parameters, parameter) += parameter.count();
    add_products(costs, parameter, config);
  }
  // A position sees (sequence + 1) / 2 positions on average, in a product of scores and one of
  // values, 2 C operations each.
  costs.forward.attention =
      config.model.blocks * 2 * config.model.width * (config.train.sequence + 1);
  costs.backward.attention = 2 * costs.forward.attention;
  costs.prefetch = prefetch_memory(config);
  if (config.has_memory()) {
    costs.table = table_costs(config);
    add_lookups(costs, config);
  }
  costs.active_parameters =
      costs.parameters.total() -
      costs.parameters.experts / config.moe.experts * (config.moe.experts - 1) +
      static_cast<std::int64_t>(costs.table.parts_per_token) * costs.table.width;
  if (!config.model.tied_output) {
    costs.active_parameters -= costs.parameters.embedding - config.model.width;
  }
  costs.weight_bytes =
      Parameters::buffer_floats(declared) * static_cast<std::int64_t>(sizeof(float));
  costs.gradient_bytes = costs.weight_bytes;
  costs.moment_bytes = 2 * costs.weight_bytes;
  costs.tokens_per_step = config.tokens_per_step();
  return costs;
}

}  // namespace mneme::engine
