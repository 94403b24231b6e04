#include "tools/mneme/bench_model_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/utf8.h"

namespace mneme::tools {
namespace {

using OrderedJson = nlohmann::ordered_json;
using engine::StepMetrics;

using offload::Field;

// Times are medians, which a hiccup of the machine does not move. Rows, bytes and stalls are means:
// they differ from step to step, and a stall may be counted one step late.
class Summary {
 public:
  explicit Summary(const ModelBenchmark& benchmark) : steps_(benchmark.steps) {
    for (const StepMetrics& step : steps_) books_ += step.books.total();
    step_ms = median([](const StepMetrics& m) { return m.times.step_ms; });
    forward_ms = median([](const StepMetrics& m) { return m.times.forward_ms; });
    backward_ms = median([](const StepMetrics& m) { return m.times.backward_ms; });
    update_ms = median([](const StepMetrics& m) { return m.times.update_ms; });
    stall_ms = median([](const StepMetrics& m) { return m.times.stall_ms; });
    distinct_rows = median([](const StepMetrics& m) { return double(m.distinct_rows); });
    for (const StepMetrics& step : steps_) total_ms += step.times.step_ms;
    tokens_per_s = 1e3 * double(benchmark.tokens_per_step) / step_ms;
    mean_tokens_per_s = 1e3 * double(benchmark.tokens_per_step) * double(steps_.size()) / total_ms;
  }

  // A step's mean.
  double mean(std::uint64_t sum) const { return double(sum) / double(steps_.size()); }
  double mean(Field field) const { return mean(books_[field]); }
  double mean_ms(Field us) const { return 1e-3 * mean(us); }
  // Over the whole time of the steps.
  double bytes_per_s(std::uint64_t bytes) const { return 1e3 * double(bytes) / total_ms; }
  const offload::Entry& books() const { return books_; }

  double step_ms = 0, forward_ms = 0, backward_ms = 0, update_ms = 0, stall_ms = 0;
  double total_ms = 0;
  double tokens_per_s = 0, mean_tokens_per_s = 0;
  double distinct_rows = 0;

 private:
  template <typename Member>
  double median(const Member& member) const {
    std::vector<double> values;
    for (const StepMetrics& step : steps_) values.push_back(member(step));
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }

  const std::vector<StepMetrics>& steps_;
  offload::Entry books_;  // of all steps
};

// The moves of rows that a table of tiers shows.
struct Move {
  const char* name;
  const char* key;
  Field rows, bytes;
};
constexpr Move kMoves[] = {
    {"page-in from host", "host_to_device", Field::kHostToDeviceRows, Field::kHostToDeviceBytes},
    {"page-in from disk", "disk_to_device", Field::kDiskToDeviceRows, Field::kDiskToDeviceBytes},
    {"generated", "generated", Field::kGeneratedRows, Field::kGeneratedBytes},
    {"write-back to host", "device_to_host", Field::kDeviceToHostRows, Field::kDeviceToHostBytes},
    {"write to disk, device", "device_to_disk", Field::kDeviceToDiskRows,
     Field::kDeviceToDiskBytes},
    {"write to disk, host", "host_to_disk", Field::kHostToDiskRows, Field::kHostToDiskBytes},
};

OrderedJson table_json(const ModelBenchmark& benchmark) {
  const offload::TierUse& use = benchmark.use;
  return {{"rows", use.table_rows},           {"record_bytes", benchmark.record_bytes},
          {"touched_rows", use.touched_rows}, {"device_slots", use.device_slots},
          {"device_rows", use.device_rows},   {"host_slots", use.host_slots},
          {"host_rows", use.host_rows},       {"disk_slots", use.disk_live_slots},
          {"disk_bytes", use.disk_bytes}};
}

std::string tiers_text(const ModelBenchmark& benchmark, const Summary& summary) {
  const offload::TierUse& use = benchmark.use;
  std::string text = fmt::format("{:>22} {:>12} {:>10} {:>10}\n", "a step", "rows", "MB", "MB/s");
  for (const Move& move : kMoves) {
    const std::uint64_t bytes = summary.books()[move.bytes];
    text +=
        fmt::format("{:>22} {:>12.0f} {:>10.3f} {:>10}\n", move.name, summary.mean(move.rows),
                    1e-6 * summary.mean(bytes),
                    bytes == 0 ? "-" : fmt::format("{:.1f}", 1e-6 * summary.bytes_per_s(bytes)));
  }
  text +=
      fmt::format("rows fetched: {:.1f}% of the step's distinct rows\n",
                  summary.distinct_rows == 0
                      ? 0.0
                      : 100 * summary.mean(summary.books().rows_fetched()) / summary.distinct_rows);
  text +=
      fmt::format("stall, ms a step: plan {:.2f}, host {:.2f}, disk {:.2f}, write-back {:.2f}\n",
                  summary.mean_ms(Field::kStallPlan), summary.mean_ms(Field::kStallHost),
                  summary.mean_ms(Field::kStallDisk), summary.mean_ms(Field::kStallWriteBack));
  text += fmt::format("{} rows of {} bytes, {} touched: {} on the device, {} in host memory\n",
                      use.table_rows, benchmark.record_bytes, use.touched_rows, use.device_rows,
                      use.host_rows);
  return text;
}

}  // namespace

std::string json_text(const ModelBenchmark& benchmark) {
  const Summary summary(benchmark);
  OrderedJson object = {{"config", io::bytes_to_utf8(benchmark.config)},
                        {"device", benchmark.device},
                        {"products", benchmark.products},
                        {"tokens", io::bytes_to_utf8(benchmark.tokens)},
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
                        {"distinct_rows", summary.distinct_rows},
                        {"last_loss", benchmark.steps.back().loss}};
  if (benchmark.use.table_rows > 0) {
    object["stall_ms"] = {{"plan", summary.mean_ms(Field::kStallPlan)},
                          {"host", summary.mean_ms(Field::kStallHost)},
                          {"disk", summary.mean_ms(Field::kStallDisk)},
                          {"write_back", summary.mean_ms(Field::kStallWriteBack)}};
    for (const Move& move : kMoves) {
      object["moves"][move.key] = {
          {"rows", summary.mean(move.rows)},
          {"bytes", summary.mean(move.bytes)},
          {"bytes_per_s", summary.bytes_per_s(summary.books()[move.bytes])}};
    }
    const offload::Entry& books = summary.books();
    object["page_in_gb_per_s"] = 1e-9 * summary.bytes_per_s(books[Field::kHostToDeviceBytes] +
                                                            books[Field::kDiskToDeviceBytes]);
    object["write_back_gb_per_s"] =
        1e-9 * summary.bytes_per_s(books[Field::kDeviceToHostBytes] + books.disk_bytes_written());
    object["found"] = {{"device", summary.mean(Field::kFoundOnDevice)},
                       {"host", summary.mean(Field::kFoundInHost)},
                       {"disk", summary.mean(Field::kFoundOnDisk)}};
    object["rows_fetched"] = summary.mean(summary.books().rows_fetched());
    object["table"] = table_json(benchmark);
  }
  return object.dump() + "\n";
}

std::string plain_text(const ModelBenchmark& benchmark) {
  const Summary summary(benchmark);
  std::string text =
      fmt::format("{}: {} dense parameters, {} tokens a step, on {}, products by {}\n{}\n",
                  benchmark.config, benchmark.dense_parameters, benchmark.tokens_per_step,
                  benchmark.device, benchmark.products, benchmark.tokens);
  text += fmt::format("opened in {:.2f} s", benchmark.open_seconds);
  if (benchmark.fill_seconds > 0) {
    text += fmt::format(", every row touched in {:.1f} s", benchmark.fill_seconds);
  }
  text += fmt::format("; {} steps to warm up, {} measured\n", benchmark.warm_up,
                      benchmark.steps.size());
  text += fmt::format("{:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12}\n", "tokens/s", "step ms",
                      "forward", "backward", "update", "stall", "rows a step");
  text +=
      fmt::format("{:>10.0f} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>12.0f}\n",
                  summary.tokens_per_s, summary.step_ms, summary.forward_ms, summary.backward_ms,
                  summary.update_ms, summary.stall_ms, summary.distinct_rows);
  if (benchmark.use.table_rows > 0) text += tiers_text(benchmark, summary);
  return text;
}

}  // namespace mneme::tools
