#include "tools/plan/plan_formats.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/config_reader.h"
#include "io/human.h"
#include "io/utf8.h"

namespace mneme::plan {
namespace {

using nlohmann::ordered_json;

std::string size(double bytes) {
  return io::human_bytes(bytes);
}
std::string size(std::uint64_t bytes) {
  return size(static_cast<double>(bytes));
}

std::string rate(double bytes_per_s) {
  return fmt::format("{:.3g} GB/s", bytes_per_s / 1e9);
}

std::string line(const char* name, const std::string& value, const std::string& note = "") {
  return fmt::format("  {:<26}{:>14}{}{}\n", name, value, note.empty() ? "" : "  ", note);
}

std::string bytes_line(const char* name, std::uint64_t bytes, const std::string& note = "") {
  return bytes == 0 ? "" : line(name, size(bytes), note);
}

std::string rows_note(std::uint64_t rows, std::uint64_t all) {
  return fmt::format("{} rows, {:.3g}% of the table", rows,
                     100 * static_cast<double>(rows) / static_cast<double>(all));
}

std::string memory_text(const Plan& plan, bool has_device) {
  const engine::MemoryUse& use = plan.use;
  const engine::TableCosts& table = plan.costs.table;
  std::string text = has_device ? "\ndevice memory\n" : "\nhost memory, of the computation\n";
  text += bytes_line("rows: device tier", use.device_tier,
                     rows_note(table.tiers.training, std::max<std::uint64_t>(1, table.rows)));
  text += bytes_line("rows: besides", use.device_table, "where rows are, look-ups, row gradient");
  text += bytes_line("dense parameters", use.parameters, "with gradients and moments");
  text += bytes_line("activations", use.activations);
  text += bytes_line("prediction", use.prediction);
  text += line("all", size(use.device()));
  text += "host memory\n";
  text += bytes_line("rows: host tier", use.host_tier,
                     rows_note(table.tiers.host, std::max<std::uint64_t>(1, table.rows)));
  text += bytes_line("staging and copies", use.host_staging);
  text += bytes_line("prediction", use.host_prediction);
  text += line("all", size(use.host()));
  if (plan.disk_bytes > 0) {
    text += "disk\n";
    text += line("with every row in use", size(plan.disk_bytes),
                 "records and checkpoints; rows that nothing touched take none");
  }
  return text;
}

std::string needs_text(const Plan& plan) {
  std::string text;
  for (const MemoryNeed& need : plan.needs) {
    text += fmt::format("{:<15} {:>10} of {:>10}  {}{}\n", need.name, size(need.needed),
                        size(need.there), need.fits() ? "fits" : "DOES NOT FIT: ", need.change);
  }
  return text;
}

std::string ms(double seconds) {
  return seconds < 1 ? fmt::format("{:.3g} ms", 1e3 * seconds) : fmt::format("{:.4g} s", seconds);
}

std::string step_text(const Plan& plan, const PlanOptions& options) {
  const Speed& speed = *plan.speed;
  const StepTimes& times = speed.times;
  std::string text = "\na step\n";
  const auto add = [&](const char* name, double seconds) {
    if (seconds > 1e-9) text += line(name, ms(seconds));
  };
  add("whatever its size", times.fixed);
  add("dense part", times.dense);
  add("its optimiser", times.optimizer);
  add("search of keys", times.search);
  add("values of rows", times.rows);
  add("row optimiser", times.update);
  add("planning", times.plan);
  add("exchange between ranks", speed.exchange_seconds);
  add("waits for rows", speed.step_seconds - times.total() - speed.exchange_seconds);
  text += line("all", ms(speed.step_seconds), fmt::format("{:.0f} tokens/s", speed.tokens_per_s));
  if (plan.costs.table.rows == 0) return text;
  const PageTraffic& traffic = speed.traffic;
  text += fmt::format(
      "rows of a step{}\n",
      options.trace.empty()
          ? fmt::format(", used with a Zipf exponent of {:g}, all rows in use", options.skew)
          : ", as the trace has them");
  const auto rows = [&](const char* name, double count) {
    text += line(name, fmt::format("{:.0f}", count));
  };
  rows("distinct", traffic.distinct_rows);
  rows("found on the device", traffic.found_on_device);
  rows("found in host memory", traffic.found_in_host);
  rows("found on disk", traffic.found_on_disk);
  rows("new", traffic.new_rows);
  const double seconds = speed.step_seconds;
  const auto moved = [&](const char* name, double bytes) {
    text += line(name, size(bytes), rate(bytes / seconds));
  };
  moved("to the device", traffic.to_device_bytes);
  moved("from the device", traffic.from_device_bytes);
  moved("read from disk", traffic.disk_read_bytes);
  moved("written to disk", traffic.disk_written_bytes);
  return text;
}

std::string bounds_text(const Plan& plan) {
  const Speed& speed = *plan.speed;
  std::string text;
  if (!speed.bounds.empty()) {
    const Bound& first = speed.bounds.front();
    text += fmt::format("\nbound by {}: infinitely fast, a step would take {} instead of {}\n",
                        first.resource, ms(first.step_seconds), ms(speed.step_seconds));
  }
  for (const SmallestTier& tier : speed.smallest) {
    text += tier.bytes
                ? fmt::format("page-in is hidden (waits of {:.0f}% at most) from {} = {} on{}{}\n",
                              100 * kHidden, tier.key, size(*tier.bytes),
                              tier.is_least_tried ? ", or less" : "",
                              tier.fits ? "" : ", which this machine has not")
                : fmt::format("no {} hides page-in, with the other tier as it is\n", tier.key);
  }
  return text;
}

std::string wear_text(const Plan& plan, const Machine& machine) {
  const Wear& wear = *plan.wear;
  const std::string time =
      wear.days < 2 ? io::human_seconds(86400 * wear.days) : fmt::format("{:.3g} days", wear.days);
  std::string text = fmt::format(
      "\n{:.0f} steps take {} and write {} to the disk: {} of rows, {} of "
      "checkpoints",
      wear.steps, time, size(wear.written()), size(wear.rows_bytes), size(wear.checkpoint_bytes));
  if (machine.disk.endurance_bytes > 0) {
    text += fmt::format(", {:.3g}% of what it may be written over its life",
                        100 * wear.written() / machine.disk.endurance_bytes);
  }
  return text + "\n";
}

}  // namespace

std::string plain_text(const Plan& plan, const PlanOptions& options, const PlanNames& names) {
  const Machine& machine = options.machine;
  std::string text = fmt::format(
      "{} on {}{}\n", names.config, names.machine,
      options.ranks > 1 ? fmt::format(", of each of {} ranks", options.ranks) : std::string());
  text += needs_text(plan);
  text += memory_text(plan, machine.has_device());
  if (!plan.speed) {
    return text +
           "\nhow fast: not known; measure the machine with mneme bench machine, and give its file "
           "with --machine\n";
  }
  text += step_text(plan, options) + bounds_text(plan);
  return plan.wear ? text + wear_text(plan, machine) : text;
}

std::string json_text(const Plan& plan, const PlanOptions& options, const PlanNames& names) {
  const engine::MemoryUse& use = plan.use;
  const engine::TableCosts& table = plan.costs.table;
  const offload::TierOptions& tiers = plan.config.tiers.store;
  ordered_json json = {{"config", io::bytes_to_utf8(names.config)},
                       {"machine", io::bytes_to_utf8(names.machine)},
                       {"ranks", options.ranks},
                       {"fits", plan.fits()}};
  for (const MemoryNeed& need : plan.needs) {
    json["needs"].push_back({{"memory", need.name},
                             {"needed", need.needed},
                             {"there", need.there},
                             {"fits", need.fits()},
                             {"change", need.change}});
  }
  json["bytes"] = {{"device",
                    {{"tier", use.device_tier},
                     {"table", use.device_table},
                     {"parameters", use.parameters},
                     {"activations", use.activations},
                     {"prediction", use.prediction},
                     {"all", use.device()}}},
                   {"host",
                    {{"tier", use.host_tier},
                     {"staging", use.host_staging},
                     {"prediction", use.host_prediction},
                     {"all", use.host()}}},
                   {"disk", plan.disk_bytes}};
  json["tiers"] = {{"device_bytes", tiers.device_bytes},
                   {"host_bytes", tiers.host_bytes},
                   {"disk_bytes", tiers.disk_bytes},
                   {"device_rows", table.tiers.training},
                   {"evaluation_rows", table.tiers.evaluation},
                   {"host_rows", table.tiers.host},
                   {"rows_beyond_memory", table.rows_beyond_memory}};
  if (!plan.speed) return json.dump() + "\n";
  const Speed& speed = *plan.speed;
  const StepTimes& times = speed.times;
  const PageTraffic& traffic = speed.traffic;
  json["step_ms"] = 1e3 * speed.step_seconds;
  json["tokens_per_s"] = speed.tokens_per_s;
  json["computation_ms"] = {{"fixed", 1e3 * times.fixed},         {"dense", 1e3 * times.dense},
                            {"optimizer", 1e3 * times.optimizer}, {"search", 1e3 * times.search},
                            {"rows", 1e3 * times.rows},           {"update", 1e3 * times.update},
                            {"plan", 1e3 * times.plan},           {"all", 1e3 * times.total()}};
  json["exchange"] = {{"bytes", speed.exchange_bytes}, {"ms", 1e3 * speed.exchange_seconds}};
  json["rows"] = {{"distinct", traffic.distinct_rows}, {"leased", traffic.leased_rows},
                  {"device", traffic.found_on_device}, {"host", traffic.found_in_host},
                  {"disk", traffic.found_on_disk},     {"new", traffic.new_rows}};
  json["moved"] = {{"to_device_bytes", traffic.to_device_bytes},
                   {"from_device_bytes", traffic.from_device_bytes},
                   {"disk_read_bytes", traffic.disk_read_bytes},
                   {"disk_written_bytes", traffic.disk_written_bytes},
                   {"disk_reads", traffic.disk_reads},
                   {"disk_writes", traffic.disk_writes}};
  for (const Bound& bound : speed.bounds) {
    json["bounds"].push_back({{"resource", bound.resource}, {"step_ms", 1e3 * bound.step_seconds}});
  }
  for (const SmallestTier& tier : speed.smallest) {
    json["hidden_from"][tier.key] = tier.bytes ? ordered_json(*tier.bytes) : ordered_json(nullptr);
  }
  if (plan.wear) {
    json["training"] = {{"steps", plan.wear->steps},
                        {"days", plan.wear->days},
                        {"rows_bytes_written", plan.wear->rows_bytes},
                        {"checkpoint_bytes_written", plan.wear->checkpoint_bytes}};
  }
  return json.dump() + "\n";
}

}  // namespace mneme::plan
