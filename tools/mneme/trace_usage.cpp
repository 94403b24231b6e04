// mneme trace usage: how the rows of a table were used in training.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/disk.h"
#include "io/progress.h"
#include "io/utf8.h"
#include "offload/replay/row_usage.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/trace_path.h"

namespace mneme::tools {
namespace {

using offload::Quantiles;
using offload::RowUsage;
using offload::StepRows;

// Of a tenth of the steps, at least one: new rows a step.
double new_rows(std::span<const StepRows> steps) {
  double sum = 0;
  for (const StepRows& step : steps) sum += static_cast<double>(step.new_rows);
  return steps.empty() ? 0 : sum / static_cast<double>(steps.size());
}
std::span<const StepRows> first_tenth(const RowUsage& usage) {
  return std::span(usage.steps).first((usage.steps.size() + 9) / 10);
}
std::span<const StepRows> last_tenth(const RowUsage& usage) {
  return std::span(usage.steps).last((usage.steps.size() + 9) / 10);
}
double distinct_rows(const RowUsage& usage) {
  double sum = 0;
  for (const StepRows& step : usage.steps) sum += static_cast<double>(step.distinct);
  return usage.steps.empty() ? 0 : sum / static_cast<double>(usage.steps.size());
}
double used_share(const RowUsage& usage) {
  return static_cast<double>(usage.used_rows) / static_cast<double>(usage.table_rows);
}

nlohmann::ordered_json quantiles_json(const Quantiles& quantiles) {
  return {{"p50", quantiles.p50}, {"p90", quantiles.p90}, {"p99", quantiles.p99}};
}

nlohmann::ordered_json usage_json(const RowUsage& usage) {
  auto ranks = nlohmann::ordered_json::array();
  for (const auto& [rank, uses] : usage.uses_by_rank) {
    ranks.push_back({{"rank", rank}, {"uses", uses}});
  }
  return {{"uses", usage.uses},
          {"used_rows", usage.used_rows},
          {"used_share", used_share(usage)},
          {"steps", usage.steps.size()},
          {"distinct_rows_per_step", distinct_rows(usage)},
          {"new_rows_per_step_first_tenth", new_rows(first_tenth(usage))},
          {"new_rows_per_step_last_tenth", new_rows(last_tenth(usage))},
          {"gini", usage.gini},
          {"kl_from_uniform", usage.kl_from_uniform},
          {"zipf_slope", usage.zipf_slope},
          {"top_1_percent", usage.top_1},
          {"top_10_percent", usage.top_10},
          {"top_50_percent", usage.top_50},
          {"reuse_rows", quantiles_json(usage.reuse_rows)},
          {"reuse_steps", quantiles_json(usage.reuse_steps)},
          {"uses_by_rank", std::move(ranks)}};
}

// A line for each figure, a column for each layer.
std::string text_of(const std::string& path, const offload::TraceUsage& usage) {
  std::vector<std::pair<std::string, const RowUsage*>> columns;
  for (const auto& [layer, one] : usage.by_layer) {
    columns.emplace_back(fmt::format("layer {}", layer), &one);
  }
  if (columns.size() != 1) columns.emplace_back("all", &usage.all);
  std::string text = fmt::format("{}: {} rows; a use is a row that a forward pass reads\n{:<34}",
                                 path, usage.all.table_rows, "");
  for (const auto& [name, one] : columns) text += fmt::format(" {:>12}", name);
  text += "\n";
  const auto line = [&](const char* label, const auto& figure) {
    text += fmt::format("{:<34}", label);
    for (const auto& [name, one] : columns) text += fmt::format(" {:>12}", figure(*one));
    text += "\n";
  };
  const auto number = [](double x) { return fmt::format("{:.0f}", x); };
  const auto percent = [](double x) { return fmt::format("{:.2f}%", 100 * x); };
  const auto decimal = [](double x) { return fmt::format("{:.3f}", x); };
  line("uses", [](const RowUsage& one) { return one.uses; });
  line("rows used", [](const RowUsage& one) { return one.used_rows; });
  line("  of the table", [&](const RowUsage& one) { return percent(used_share(one)); });
  line("distinct rows a step", [&](const RowUsage& one) { return number(distinct_rows(one)); });
  line("new rows a step, first tenth",
       [&](const RowUsage& one) { return number(new_rows(first_tenth(one))); });
  line("new rows a step, last tenth",
       [&](const RowUsage& one) { return number(new_rows(last_tenth(one))); });
  line("Gini coefficient", [&](const RowUsage& one) { return decimal(one.gini); });
  line("KL from uniform, nats", [&](const RowUsage& one) { return decimal(one.kl_from_uniform); });
  line("Zipf slope", [&](const RowUsage& one) { return decimal(one.zipf_slope); });
  line("uses of the top 1% of the rows", [&](const RowUsage& one) { return percent(one.top_1); });
  line("  top 10%", [&](const RowUsage& one) { return percent(one.top_10); });
  line("  top 50%", [&](const RowUsage& one) { return percent(one.top_50); });
  line("used again after rows, median",
       [&](const RowUsage& one) { return number(one.reuse_rows.p50); });
  line("  90%", [&](const RowUsage& one) { return number(one.reuse_rows.p90); });
  line("  99%", [&](const RowUsage& one) { return number(one.reuse_rows.p99); });
  line("used again after steps, median",
       [&](const RowUsage& one) { return number(one.reuse_steps.p50); });
  line("  90%", [&](const RowUsage& one) { return number(one.reuse_steps.p90); });
  line("  99%", [&](const RowUsage& one) { return number(one.reuse_steps.p99); });
  return text;
}

std::string csv_of(const offload::TraceUsage& usage) {
  std::string text = "layer,step,distinct_rows,new_rows\n";
  const auto add = [&](const std::string& layer, const RowUsage& one) {
    for (const StepRows& step : one.steps) {
      text += fmt::format("{},{},{},{}\n", layer, step.step, step.distinct, step.new_rows);
    }
  };
  for (const auto& [layer, one] : usage.by_layer) add(std::to_string(layer), one);
  add("all", usage.all);
  return text;
}

}  // namespace

int run_trace_usage(const TraceUsageOptions& options) {
  const InterruptGuard interrupt;
  const auto disk = io::make_posix_disk();
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const std::string path = trace_of(*disk, options.path);
  offload::TraceReader reader(*disk, path);
  io::Phase phase("row usage", reader.file_bytes(), "bytes");
  const offload::TraceUsage usage = offload::usage_of(reader, [&] {
    interrupt.check();
    phase.reach(reader.position());
  });
  if (options.csv) {
    fmt::print("{}", csv_of(usage));
    return 0;
  }
  if (!options.json) {
    fmt::print("{}", text_of(path, usage));
    return 0;
  }
  auto layers = nlohmann::ordered_json::array();
  for (const auto& [layer, one] : usage.by_layer) {
    nlohmann::ordered_json object = {{"layer", layer}};
    object.update(usage_json(one));
    layers.push_back(std::move(object));
  }
  const nlohmann::ordered_json object = {{"trace", io::bytes_to_utf8(path)},
                                         {"rows", usage.all.table_rows},
                                         {"all", usage_json(usage.all)},
                                         {"layers", std::move(layers)}};
  fmt::print("{}\n", object.dump());
  return 0;
}

}  // namespace mneme::tools
