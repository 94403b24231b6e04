// mneme bench machine: sizes and speeds of this machine, as a file that mneme plan reads. Speeds of
// the parts of a training step come from training small models: what is measured is what a step
// costs, not what the processor could do.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "engine/device.h"
#include "engine/model_costs.h"
#include "engine/tier_choice.h"
#include "io/disk.h"
#include "io/disk_benchmark.h"
#include "io/enum_names.h"
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

constexpr std::uint32_t kRecordBytes = 12288;
constexpr std::uint32_t kSmallRecordBytes = 4096;

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

class SmallModels {
 public:
  SmallModels(engine::DeviceKind device, const InterruptGuard& interrupt)
      : device_(device), interrupt_(interrupt) {}

  struct Measured {
    engine::Config config;
    double step_seconds = 0;                    // median, without waits for rows
    double update_seconds = 0;                  // of the optimisers, median
    double distinct_rows = 0, leased_rows = 0;  // of a step
    Entry training;                             // of all measured steps
  };
  Measured measure(std::vector<std::string> settings, std::int64_t warm_up,
                   std::int64_t steps) const {
    settings.push_back(fmt::format("run.device={}", io::name_of(device_)));
    const engine::Config config = engine::parse_config(kSmallModel, "bench machine", settings);
    BenchModelOptions benchmarked;
    benchmarked.steps = steps;
    benchmarked.warm_up = warm_up;
    benchmarked.token_skew = 1;
    const ModelBenchmark benchmark = measure_model(config, benchmarked, interrupt_);
    Measured measured;
    measured.config = config;
    std::vector<double> seconds, updates;
    for (const engine::StepMetrics& step : benchmark.steps) {
      seconds.push_back(1e-3 * (step.times.step_ms - step.times.stall_ms));
      updates.push_back(1e-3 * step.times.update_ms);
      measured.distinct_rows += double(step.distinct_rows) / double(steps);
      measured.training += step.books.total(Cause::kTraining);
    }
    measured.step_seconds = median(std::move(seconds));
    measured.update_seconds = median(std::move(updates));
    measured.leased_rows = double(measured.training[Field::kRowsLeased]) / double(steps);
    return measured;
  }

 private:
  static double median(std::vector<double> values) {
    const auto middle = values.begin() + std::ssize(values) / 2;
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }

  engine::DeviceKind device_;
  const InterruptGuard& interrupt_;
};

// Bytes a second while records moved; 0 where none did.
double speed_of(const Entry& entry, Field rows) {
  const auto bytes = double(entry[offload::Ledger::bytes_of(rows)]);
  const double seconds = 1e-6 * double(entry[offload::Ledger::time_of(rows)]);
  return seconds > 0 ? bytes / seconds : 0;
}

void measure_dense(const SmallModels& models, plan::Machine& machine) {
  constexpr std::array kWidths = {64, 128, 256, 512, 1024};
  for (const std::int64_t width : kWidths) {
    const SmallModels::Measured dense = models.measure(
        {fmt::format("model.width={}", width), fmt::format("model.attention_heads={}", width / 32),
         fmt::format("model.kv_heads={}", width / 32),
         fmt::format("model.feed_forward_hidden={}", 3 * width)},
        2, std::clamp<std::int64_t>(8192 / width, 5, 101));
    const plan::StepWork work = plan::step_work(dense.config, 0, 0);
    machine.compute.optimizer = work.optimizer_bytes / dense.update_seconds;
    const double flops = work.dense_flops / (dense.step_seconds - dense.update_seconds);
    machine.compute.widths.push_back(width);
    machine.compute.gflops.push_back(std::max<std::int64_t>(1, std::lround(flops / 1e9)));
  }
}

// Tables that differ in what costs: half-keys, look-ups, widths of values, distinct rows.
void measure_rows(const SmallModels& models, plan::Machine& machine) {
  struct Shape {
    int half_keys, knn, value_width;
  };
  constexpr std::array<Shape, 6> kShapes = {
      {{256, 8, 64}, {256, 8, 256}, {256, 32, 64}, {256, 32, 256}, {512, 8, 256}, {256, 16, 1024}}};
  plan::StepFit fit(machine);
  Entry all;
  for (const Shape& shape : kShapes) {
    const SmallModels::Measured rows = models.measure(
        {"model.feed_forward=memory@1", "model.width=64", "model.attention_heads=2",
         "model.kv_heads=2", "model.feed_forward_hidden=192",
         fmt::format("memory.half_keys={}", shape.half_keys),
         fmt::format("memory.knn={}", shape.knn),
         fmt::format("memory.value_width={}", shape.value_width), "tiers.device_bytes=2GiB"},
        8, 41);
    fit.add(plan::step_work(rows.config, rows.distinct_rows, rows.leased_rows),
            rows.config.model.width, rows.step_seconds);
    all += rows.training;
  }
  fit.solve(machine);
  machine.compute.planned_row_ns =
      1e3 * double(all[Field::kStallPlan]) / double(all[Field::kRowsLeased]);
}

// Rows that are new to a table, and those that go between the device and the host tier.
void measure_moves(const SmallModels& models, plan::Machine& machine) {
  const std::vector<std::string> table = {"model.feed_forward=memory@1", "model.width=64",
                                          "model.attention_heads=2",     "model.kv_heads=2",
                                          "memory.value_width=1024",     "memory.knn=8"};
  std::vector<std::string> new_rows = table;
  new_rows.push_back("tiers.device_bytes=2GiB");
  machine.compute.generate =
      speed_of(models.measure(new_rows, 0, 4).training, Field::kGeneratedRows);
  std::vector<std::string> two_tiers = table;
  two_tiers.insert(two_tiers.end(), {"tiers.device_bytes=64MiB", "tiers.host_bytes=1GiB"});
  const double link = speed_of(models.measure(two_tiers, 4, 10).training, Field::kHostToDeviceRows);
  (machine.has_device() ? machine.device.link : machine.host.copy) = link;
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
  machine.disk.reads_per_s = measure(kSmallRecordBytes, 1).iops;
  machine.disk.writes_per_s = measure(kSmallRecordBytes, 0).iops;
  machine.disk.read = measure(64 << 10, 1).bytes_per_second;
  machine.disk.write = measure(64 << 10, 0).bytes_per_second;
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
  config.run.directory = options.path;
  const engine::FreeMemory free = engine::free_memory(config, *disk);
  machine.host.memory_bytes = free.host;
  machine.disk.bytes = options.path.empty() ? 0 : free.disk;
  if (free.device) {
    machine.device.count = 1;
    machine.device.memory_bytes = *free.device;
  }
  // Asked once, so that it is told once which it is.
  const bool on_cuda = free.device || options.device == engine::DeviceKind::kCuda;
  const SmallModels models(on_cuda ? engine::DeviceKind::kCuda : engine::DeviceKind::kCpu,
                           interrupt);
  measure_dense(models, machine);
  measure_rows(models, machine);
  measure_moves(models, machine);
  measure_disk(*disk, options, interrupt, machine);
  const std::string text = plan::to_toml(machine);
  if (options.output.empty()) {
    fmt::print("{}", text);
  } else {
    io::replace_own_file(*disk, options.output, plan::kMachineMark, text);
  }
  return 0;
}

}  // namespace mneme::tools
