// mneme bench machine: sizes and speeds of this machine, as a file that mneme plan reads. Speeds of
// the parts of a training step come from training small models: what is measured is what a step
// costs, not what the processor could do.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "engine/model_costs.h"
#include "engine/tier_choice.h"
#include "io/disk.h"
#include "io/disk_benchmark.h"
#include "io/own_file.h"
#include "io/progress.h"
#include "offload/ledger/ledger.h"
#include "tools/mneme/bench_model.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/scratch_file.h"
#include "tools/plan/machine.h"
#include "tools/plan/step_fit.h"
#include "tools/plan/step_work.h"
#include "tools/report/profile_notes.h"

namespace mneme::tools {
namespace {

using offload::Cause;
using offload::Entry;
using offload::Field;

constexpr std::uint32_t kSmallTransfer = 4096, kLargeTransfer = 64 << 10;

// Steps of a small model, without waits for anything but its own table.
constexpr const char* kSmallModel = R"(
[run]
directory = "mneme-bench-machine"
[data]
vocabulary = 256
[model]
blocks = 2
feed_forward = "dense"
[memory]
half_keys = 256
value_width = 256
key_width = 32
[tiers]
host_bytes = 0
[train]
batch = 8
sequence = 128
[sample]
tokens = 0
)";

// One of them, and what its steps took, in several rounds.
class SmallModel {
 public:
  SmallModel(std::vector<std::string> settings, std::int64_t warm_up, std::int64_t steps)
      : config_(engine::parse_config(kSmallModel, "bench machine", settings)),
        warm_up_(warm_up),
        steps_(steps) {}

  void measure(const InterruptGuard& interrupt) {
    BenchModelOptions options;
    options.steps = steps_;
    options.warm_up = warm_up_;
    options.token_skew = 1;
    for (const engine::StepMetrics& step : measure_model(config_, options, interrupt).steps) {
      seconds_.push_back(1e-3 * (step.times.step_ms - step.times.stall_ms));
      updates_.push_back(1e-3 * step.times.update_ms);
      distinct_rows_ += double(step.distinct_rows);
      training_ += step.books.total(Cause::kTraining);
    }
  }

  // Without waits for rows; and of the optimisers.
  double step_seconds() const { return median(seconds_); }
  double update_seconds() const { return median(updates_); }
  plan::StepWork work() const {
    const auto steps = static_cast<double>(seconds_.size());
    return plan::step_work(config_, engine::model_costs(config_), distinct_rows_ / steps,
                           double(training_[Field::kRowsLeased]) / steps);
  }
  std::int64_t width() const { return config_.model.width; }
  const Entry& training() const { return training_; }  // of all steps
  // Bytes a second while such rows moved; 0 where none did.
  double speed_of(Field rows) const {
    const auto bytes = double(training_[offload::Ledger::bytes_of(rows)]);
    const double seconds = 1e-6 * double(training_[offload::Ledger::time_of(rows)]);
    return seconds > 0 ? bytes / seconds : 0;
  }

 private:
  static double median(std::vector<double> values) {
    const auto middle = values.begin() + std::ssize(values) / 2;
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  engine::Config config_;
  std::int64_t warm_up_, steps_;
  std::vector<double> seconds_, updates_;
  double distinct_rows_ = 0;
  Entry training_;
};

// Of growing width, with the heads and the hidden width that go with it.
std::vector<std::string> shape_of(int width) {
  return {fmt::format("model.width={}", width), fmt::format("model.attention_heads={}", width / 32),
          fmt::format("model.kv_heads={}", width / 32),
          fmt::format("model.feed_forward_hidden={}", 3 * width)};
}

std::vector<SmallModel> dense_models(const std::string& device) {
  std::vector<SmallModel> models;
  for (const int width : {64, 128, 256, 512, 1024}) {
    std::vector<std::string> settings = shape_of(width);
    settings.push_back(device);
    models.emplace_back(settings, 2, std::clamp(4096 / width, 3, 40));
  }
  return models;
}

// Tables that differ in what costs: half-keys, look-ups, widths of values, distinct rows.
std::vector<SmallModel> table_models(const std::string& device) {
  struct Shape {
    int half_keys, knn, value_width;
  };
  constexpr std::array<Shape, 6> kShapes = {
      {{256, 8, 64}, {256, 8, 256}, {256, 32, 64}, {256, 32, 256}, {512, 8, 256}, {256, 16, 1024}}};
  std::vector<SmallModel> models;
  for (const Shape& shape : kShapes) {
    std::vector<std::string> settings = shape_of(64);
    settings.insert(
        settings.end(),
        {device, "model.feed_forward=memory@1", fmt::format("memory.half_keys={}", shape.half_keys),
         fmt::format("memory.knn={}", shape.knn),
         fmt::format("memory.value_width={}", shape.value_width), "tiers.device_bytes=1GiB"});
    models.emplace_back(settings, 8, 15);
  }
  return models;
}

// In rounds, so that a machine that is slow for a while is so for all of them, and not for most
// steps of any.
void measure_computation(const std::string& device, const InterruptGuard& interrupt,
                         plan::Machine& machine) {
  constexpr int kRounds = 3;
  std::vector<SmallModel> dense = dense_models(device), tables = table_models(device);
  for (int round = 0; round < kRounds; ++round) {
    for (SmallModel& model : dense) model.measure(interrupt);
    for (SmallModel& model : tables) model.measure(interrupt);
  }
  for (const SmallModel& model : dense) {
    const plan::StepWork work = model.work();
    machine.compute.optimizer = work.optimizer_bytes / model.update_seconds();
    const double flops = work.dense_flops / (model.step_seconds() - model.update_seconds());
    machine.compute.widths.push_back(model.width());
    machine.compute.gflops.push_back(std::max<std::int64_t>(1, std::lround(flops / 1e9)));
  }
  plan::StepFit fit(machine);
  Entry all;
  for (const SmallModel& model : tables) {
    fit.add(model.work(), model.width(), model.step_seconds());
    all += model.training();
  }
  fit.solve(machine);
  machine.compute.planned_row_ns =
      1e3 * double(all[Field::kStallPlan]) / double(all[Field::kRowsLeased]);
}

// Rows that are new to a table, and those that go between the device and the host tier.
void measure_moves(const std::string& device, const InterruptGuard& interrupt,
                   plan::Machine& machine) {
  std::vector<std::string> table = shape_of(64);
  table.insert(table.end(), {device, "model.feed_forward=memory@1", "memory.value_width=1024",
                             "memory.knn=8", "tiers.device_bytes=1GiB"});
  SmallModel grows(table, 0, 4);
  grows.measure(interrupt);
  machine.compute.generate = grows.speed_of(Field::kGeneratedRows);
  table.insert(table.end(), {"tiers.device_bytes=64MiB", "tiers.host_bytes=1GiB"});
  SmallModel pages(table, 4, 10);
  pages.measure(interrupt);
  (machine.has_device() ? machine.device.link : machine.host.copy) =
      pages.speed_of(Field::kHostToDeviceRows);
}

void measure_disk(io::Disk& disk, const BenchMachineOptions& options,
                  const InterruptGuard& interrupt, plan::Machine& machine) {
  if (options.path.empty()) return;
  const ScratchFile file(disk, {.path = options.path, .file_bytes = options.file_bytes});
  const auto measure = [&](std::uint32_t record_bytes, double read_share) {
    const io::DiskBenchmarkOptions benchmark{.path = options.path,
                                             .file_bytes = options.file_bytes,
                                             .record_bytes = record_bytes,
                                             .read_share = read_share,
                                             .seconds = options.seconds / 2,
                                             .interruption = [&] { interrupt.check(); }};
    return io::run_disk_benchmark(disk, benchmark);
  };
  machine.disk.reads_per_s = measure(kSmallTransfer, 1).iops;
  machine.disk.writes_per_s = measure(kSmallTransfer, 0).iops;
  machine.disk.read = measure(kLargeTransfer, 1).bytes_per_second;
  machine.disk.write = measure(kLargeTransfer, 0).bytes_per_second;
}

}  // namespace

int run_bench_machine(const BenchMachineOptions& options) {
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const auto disk = io::make_posix_disk();
  plan::Machine machine;
  machine.name = options.name.empty() ? report::this_machine() : options.name;
  machine.source =
      fmt::format("mneme bench machine, {:%Y-%m-%d}", fmt::localtime(std::time(nullptr)));
  engine::Config config;
  config.run.device = options.device;
  config.run.directory = options.path.empty() ? "." : options.path;
  const engine::FreeMemory free = engine::free_memory(config, *disk);
  machine.host.memory_bytes = free.host;
  machine.disk.bytes = options.path.empty() ? 0 : free.disk.value_or(0);
  if (free.device) {
    machine.device.count = 1;
    machine.device.memory_bytes = *free.device;
  }
  // Asked once, so that it is told once which it is.
  const bool on_cuda = free.device || options.device == engine::DeviceKind::kCuda;
  const std::string device = on_cuda ? "run.device=cuda" : "run.device=cpu";
  measure_computation(device, interrupt, machine);
  measure_moves(device, interrupt, machine);
  measure_disk(*disk, options, interrupt, machine);
  // What is read goes through the link as well.
  const double link = machine.has_device() ? machine.device.link : machine.host.copy;
  machine.disk.read = std::min(machine.disk.read, link);
  const std::string text = plan::to_toml(machine);
  plan::parse_machine(text, "bench machine");  // nothing is written that could not be read
  if (options.output.empty()) {
    fmt::print("{}", text);
  } else {
    io::replace_own_file(*disk, options.output, plan::kMachineMark, text);
  }
  return 0;
}

}  // namespace mneme::tools
