// mneme inspect CONFIG: what a configuration's model has and costs, before it is made.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "engine/config_scale.h"
#include "engine/model_costs.h"
#include "engine/tier_choice.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/human.h"
#include "io/utf8.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {
namespace {

using engine::ModelCosts;

// 1234567 -> "1,234,567".
template <typename Count>
std::string grouped(Count count) {
  const std::string digits = fmt::format("{}", count);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text.push_back(',');
    text.push_back(digits[i]);
  }
  return text;
}

std::string bytes_text(std::uint64_t bytes) {
  return io::human_bytes(static_cast<double>(bytes));
}

std::string line(const char* name, const std::string& value, const std::string& note = "") {
  return fmt::format("  {:<26}{:>20}{}{}\n", name, value, note.empty() ? "" : "  ", note);
}

std::string parameters_text(const ModelCosts& costs) {
  const engine::ParameterCounts& dense = costs.parameters;
  std::string text = "parameters\n";
  const auto add = [&](const char* name, std::int64_t count) {
    if (count > 0) text += line(name, grouped(count));
  };
  add("embedding", dense.embedding);
  add("attention", dense.attention);
  add("feed-forward", dense.feed_forward);
  add("experts", dense.experts);
  add("routers", dense.routers);
  add("memory: half-keys", dense.half_keys);
  add("memory: projections", dense.memory_projections);
  add("norms", dense.norms);
  add("output head", dense.output);
  add("dense", dense.total());
  if (costs.table.rows > 0) {
    text += line("value table", grouped(costs.table.parameters),
                 fmt::format("{} rows x {}{}", grouped(costs.table.rows),
                             costs.table.parts == 1 ? "" : fmt::format("{} x ", costs.table.parts),
                             costs.table.width));
    text +=
        line("all", grouped(costs.table.parameters + static_cast<std::uint64_t>(dense.total())));
  }
  return text + line("read for a token", grouped(costs.active_parameters));
}

std::string memory_text(const ModelCosts& costs) {
  std::string text = "\nbytes\n";
  const auto add = [&](const char* name, std::int64_t bytes, const std::string& note = "") {
    text += line(name, bytes_text(static_cast<std::uint64_t>(bytes)), note);
  };
  add("weights", costs.weight_bytes, "float32, of the dense parameters");
  add("gradients", costs.gradient_bytes);
  add("moments", costs.moment_bytes);
  const engine::TableCosts& table = costs.table;
  if (table.rows == 0) return text;
  text += line("value table", bytes_text(table.bytes),
               fmt::format("records of {} bytes; untouched rows take none", table.record_bytes));
  text += line("row gradient", bytes_text(table.gradient_bytes),
               table.accumulates_gradient ? "at most, then it is added up in the rows"
                                          : "at most, of a step");
  const memory::PredictorMemory& prefetch = costs.prefetch.bytes;
  if (prefetch.device_bytes > 0) {
    text += line("prediction", bytes_text(prefetch.device_bytes),
                 fmt::format("on the device; {} pinned, {} of other host memory",
                             bytes_text(prefetch.pinned_bytes), bytes_text(prefetch.host_bytes)));
  }
  if (costs.prefetch.branches > 0) {
    text += line("", "", "and the activations up to the first memory layer once more");
  }
  const auto share = [&](std::uint64_t rows) {
    return fmt::format("{:.3g}% of the rows",
                       100 * static_cast<double>(rows) / static_cast<double>(table.rows));
  };
  text += "\nrows that fit\n";
  text += line("device", grouped(table.tiers.training), share(table.tiers.training));
  text += line("device, for evaluation", grouped(table.tiers.evaluation));
  text += line("host", grouped(table.tiers.host), share(table.tiers.host));
  return text + line("left for the disk", grouped(table.rows_beyond_memory),
                     share(table.rows_beyond_memory));
}

std::string flops_text(const ModelCosts& costs) {
  const engine::TokenFlops &forward = costs.forward, &backward = costs.backward;
  std::string text = fmt::format("\nFLOPs of a token {:>29}  {:>20}\n", "forward", "and backward");
  const auto add = [&](const char* name, std::int64_t once, std::int64_t more) {
    if (once > 0) {
      text += fmt::format("  {:<24}{:>20}  {:>20}\n", name, grouped(once), grouped(once + more));
    }
  };
  add("weights", forward.weights, backward.weights);
  add("attention", forward.attention, backward.attention);
  add("memory: half-keys", forward.keys, backward.keys);
  add("memory: rows", forward.rows, backward.rows);
  add("all", forward.total(), backward.total());
  const double step = static_cast<double>(costs.tokens_per_step) *
                      static_cast<double>(forward.total() + backward.total());
  text +=
      fmt::format("  a step of {} tokens: {:.3g} FLOPs\n", grouped(costs.tokens_per_step), step);
  if (costs.table.rows > 0) {
    text +=
        fmt::format("  rows read for a token: {}, {} of values, forward and once more backward\n",
                    costs.table.lookups_per_token, bytes_text(costs.table.gather_bytes_per_token));
  }
  return text;
}

nlohmann::ordered_json flops_json(const engine::TokenFlops& flops) {
  return {{"weights", flops.weights},
          {"attention", flops.attention},
          {"keys", flops.keys},
          {"rows", flops.rows},
          {"all", flops.total()}};
}

nlohmann::ordered_json costs_json(const std::string& path, const ModelCosts& costs) {
  const engine::ParameterCounts& dense = costs.parameters;
  const engine::TableCosts& table = costs.table;
  return {{"config", io::bytes_to_utf8(path)},
          {"parameters",
           {{"embedding", dense.embedding},
            {"attention", dense.attention},
            {"feed_forward", dense.feed_forward},
            {"experts", dense.experts},
            {"routers", dense.routers},
            {"half_keys", dense.half_keys},
            {"memory_projections", dense.memory_projections},
            {"norms", dense.norms},
            {"output", dense.output},
            {"dense", dense.total()},
            {"table", table.parameters},
            {"active", costs.active_parameters}}},
          {"bytes",
           {{"weights", costs.weight_bytes},
            {"gradients", costs.gradient_bytes},
            {"moments", costs.moment_bytes},
            {"table", table.bytes},
            {"prediction",
             {{"device", costs.prefetch.bytes.device_bytes},
              {"pinned", costs.prefetch.bytes.pinned_bytes},
              {"host", costs.prefetch.bytes.host_bytes},
              {"branches", costs.prefetch.branches}}}}},
          {"table",
           {{"rows", table.rows},
            {"value_width", table.width},
            {"row_parts", table.rows > 0 ? table.parts : 0},
            {"record_bytes", table.record_bytes},
            {"device_slot_bytes", table.device_slot_bytes},
            {"gradient_bytes", table.gradient_bytes},
            {"accumulates_gradient", table.accumulates_gradient},
            {"device_rows", table.tiers.training},
            {"evaluation_rows", table.tiers.evaluation},
            {"host_rows", table.tiers.host},
            {"rows_beyond_memory", table.rows_beyond_memory},
            {"lookups_per_token", table.lookups_per_token},
            {"gather_bytes_per_token", table.gather_bytes_per_token}}},
          {"flops_per_token",
           {{"forward", flops_json(costs.forward)}, {"backward", flops_json(costs.backward)}}},
          {"tokens_per_step", costs.tokens_per_step}};
}

}  // namespace

int run_inspect_config(const InspectOptions& options) {
  engine::Config config =
      engine::scaled_down(engine::load_config(options.directory, options.overrides), options.scale);
  choose_tiers(config, engine::free_memory(config, *io::make_posix_disk()));
  const ModelCosts costs = engine::model_costs(config);
  if (options.json) {
    fmt::print("{}\n", costs_json(options.directory, costs)
                           .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return 0;
  }
  fmt::print("{}{}{}", parameters_text(costs), memory_text(costs), flops_text(costs));
  return 0;
}

int run_inspect_path(const InspectOptions& options) {
  std::error_code ignored;  // what cannot be looked at is said by whoever reads it
  const auto status = std::filesystem::status(options.directory, ignored);
  const bool is_run = std::filesystem::is_directory(status) || !std::filesystem::exists(status);
  if (!is_run) return run_inspect_config(options);
  if (!options.overrides.empty() || options.scale != 1) {
    io::fail("{}: --set and --scale go with a configuration's file, not with a run's folder",
             options.directory);
  }
  return run_inspect(options);
}

}  // namespace mneme::tools
