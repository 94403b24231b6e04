#include "tools/mneme/bench_model_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/utf8.h"

namespace mneme::tools {
namespace {

using OrderedJson = nlohmann::ordered_json;
using engine::StepMetrics;

// Times are medians, which a hiccup of the machine does not move. Rows, bytes and stalls are means:
// they differ from step to step, and a stall may be counted one step late.
class Summary {
 public:
  explicit Summary(const ModelBenchmark& benchmark) : steps_(benchmark.steps) {
    for (const StepMetrics& step : steps_) rows_ += step.rows;
    step_ms = median([](const StepMetrics& m) { return m.times.step_ms; });
    forward_ms = median([](const StepMetrics& m) { return m.times.forward_ms; });
    backward_ms = median([](const StepMetrics& m) { return m.times.backward_ms; });
    update_ms = median([](const StepMetrics& m) { return m.times.update_ms; });
    wait_ms = median([](const StepMetrics& m) { return m.times.acquire_stall_ms; });
    distinct_rows = median([](const StepMetrics& m) { return double(m.distinct_rows); });
    for (const StepMetrics& step : steps_) total_ms += step.times.step_ms;
    tokens_per_s = 1e3 * double(benchmark.tokens_per_step) / step_ms;
    mean_tokens_per_s = 1e3 * double(benchmark.tokens_per_step) * double(steps_.size()) / total_ms;
    stall_plan_ms = 1e-3 * mean(rows_.stall_plan_us);
    stall_host_ms = 1e-3 * mean(rows_.stall_host_us);
    stall_disk_ms = 1e-3 * mean(rows_.stall_disk_us);
    stall_write_back_ms = 1e-3 * mean(rows_.stall_write_back_us);
    page_in_gb_per_s = rate(rows_.host.bytes_read + rows_.disk.bytes_read);
    write_back_gb_per_s = rate(rows_.host.bytes_written + rows_.disk.bytes_written);
  }

  double mean(std::uint64_t sum) const { return double(sum) / double(steps_.size()); }
  const offload::StepCounters& rows() const { return rows_; }

  double step_ms = 0, forward_ms = 0, backward_ms = 0, update_ms = 0;
  double wait_ms = 0;  // the host, inside acquire
  double total_ms = 0;
  double tokens_per_s = 0, mean_tokens_per_s = 0;
  double distinct_rows = 0;
  double stall_plan_ms = 0, stall_host_ms = 0, stall_disk_ms = 0, stall_write_back_ms = 0;
  double page_in_gb_per_s = 0, write_back_gb_per_s = 0;  // over the whole time of the steps

 private:
  template <typename Member>
  double median(const Member& member) const {
    std::vector<double> values;
    for (const StepMetrics& step : steps_) values.push_back(member(step));
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }
  double rate(std::uint64_t bytes) const { return 1e-6 * double(bytes) / total_ms; }

  const std::vector<StepMetrics>& steps_;
  offload::StepCounters rows_;  // of all steps
};

OrderedJson tier_json(const Summary& summary, const offload::TierTraffic& traffic) {
  return {{"rows_read", summary.mean(traffic.rows_read)},
          {"bytes_read", summary.mean(traffic.bytes_read)},
          {"rows_written", summary.mean(traffic.rows_written)},
          {"bytes_written", summary.mean(traffic.bytes_written)}};
}

OrderedJson table_json(const ModelBenchmark& benchmark) {
  const offload::TierUse& use = benchmark.use;
  return {{"rows", use.table_rows},           {"record_bytes", benchmark.record_bytes},
          {"touched_rows", use.touched_rows}, {"device_slots", use.device_slots},
          {"device_rows", use.device_rows},   {"host_slots", use.host_slots},
          {"host_rows", use.host_rows},       {"disk_slots", use.disk_live_slots},
          {"disk_bytes", use.disk_bytes}};
}

std::string tier_line(const Summary& summary, const char* name,
                      const offload::TierTraffic& traffic) {
  return fmt::format("{:>10} {:>12.0f} {:>10.1f} {:>14.0f} {:>12.1f}\n", name,
                     summary.mean(traffic.rows_read), 1e-6 * summary.mean(traffic.bytes_read),
                     summary.mean(traffic.rows_written),
                     1e-6 * summary.mean(traffic.bytes_written));
}

std::string tiers_text(const ModelBenchmark& benchmark, const Summary& summary) {
  const offload::StepCounters& rows = summary.rows();
  const offload::TierUse& use = benchmark.use;
  return fmt::format("{:>10} {:>12} {:>10} {:>14} {:>12}\n", "a step", "rows read", "MB read",
                     "rows moved in", "MB moved in") +
         tier_line(summary, "device", rows.device) + tier_line(summary, "host", rows.host) +
         tier_line(summary, "disk", rows.disk) +
         fmt::format("{:>10} {:>12.0f}\n", "generated", summary.mean(rows.rows_generated)) +
         fmt::format("page-in {:.2f} GB/s, write-back {:.2f} GB/s\n", summary.page_in_gb_per_s,
                     summary.write_back_gb_per_s) +
         fmt::format("stall, ms a step: plan {:.2f}, host {:.2f}, disk {:.2f}, write-back {:.2f}\n",
                     summary.stall_plan_ms, summary.stall_host_ms, summary.stall_disk_ms,
                     summary.stall_write_back_ms) +
         fmt::format("{} rows of {} bytes, {} touched: {} on the device, {} in host memory\n",
                     use.table_rows, benchmark.record_bytes, use.touched_rows, use.device_rows,
                     use.host_rows);
}

}  // namespace

std::string json_text(const ModelBenchmark& benchmark) {
  const Summary summary(benchmark);
  const offload::StepCounters& rows = summary.rows();
  OrderedJson object = {{"config", io::bytes_to_utf8(benchmark.config)},
                        {"device", benchmark.device},
                        {"products", benchmark.products},
                        {"dense_parameters", benchmark.dense_parameters},
                        {"tokens_per_step", benchmark.tokens_per_step},
                        {"flops_per_token", benchmark.flops_per_token},
                        {"warm_up", benchmark.warm_up},
                        {"steps", benchmark.steps.size()},
                        {"open_s", benchmark.open_seconds},
                        {"fill_s", benchmark.fill_seconds},
                        {"tokens_per_s", summary.tokens_per_s},
                        {"mean_tokens_per_s", summary.mean_tokens_per_s},
                        {"step_ms", summary.step_ms},
                        {"forward_ms", summary.forward_ms},
                        {"backward_ms", summary.backward_ms},
                        {"update_ms", summary.update_ms},
                        {"acquire_stall_ms", summary.wait_ms},
                        {"distinct_rows", summary.distinct_rows},
                        {"last_loss", benchmark.steps.back().loss}};
  if (benchmark.use.table_rows > 0) {
    object["stall_ms"] = {{"plan", summary.stall_plan_ms},
                          {"host", summary.stall_host_ms},
                          {"disk", summary.stall_disk_ms},
                          {"write_back", summary.stall_write_back_ms}};
    object["tiers"] = {{"device", tier_json(summary, rows.device)},
                       {"host", tier_json(summary, rows.host)},
                       {"disk", tier_json(summary, rows.disk)}};
    object["rows_generated"] = summary.mean(rows.rows_generated);
    object["page_in_gb_per_s"] = summary.page_in_gb_per_s;
    object["write_back_gb_per_s"] = summary.write_back_gb_per_s;
    object["table"] = table_json(benchmark);
  }
  return object.dump() + "\n";
}

std::string plain_text(const ModelBenchmark& benchmark) {
  const Summary summary(benchmark);
  std::string text = fmt::format(
      "{}: {} dense parameters, {} tokens a step, on {}, products by {}\n", benchmark.config,
      benchmark.dense_parameters, benchmark.tokens_per_step, benchmark.device, benchmark.products);
  text += fmt::format("opened in {:.2f} s", benchmark.open_seconds);
  if (benchmark.fill_seconds > 0) {
    text += fmt::format(", every row touched in {:.1f} s", benchmark.fill_seconds);
  }
  text += fmt::format("; {} steps to warm up, {} measured\n", benchmark.warm_up,
                      benchmark.steps.size());
  text += fmt::format("{:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12}\n", "tokens/s", "step ms",
                      "forward", "backward", "update", "host waits", "rows a step");
  text +=
      fmt::format("{:>10.0f} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>12.0f}\n",
                  summary.tokens_per_s, summary.step_ms, summary.forward_ms, summary.backward_ms,
                  summary.update_ms, summary.wait_ms, summary.distinct_rows);
  if (benchmark.use.table_rows > 0) text += tiers_text(benchmark, summary);
  return text;
}

}  // namespace mneme::tools
