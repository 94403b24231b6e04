// A checkpoint of a gigabyte of dirty rows while training goes on, against one that training waits
// for: the same model, rows and losses, one after the other in rounds.
//
//   checkpoint_benchmark FOLDER [ROUNDS] [MIB]
//
// Dirties MIB of records (1024), takes some steps, begins a checkpoint and goes on with steps until
// it is committed. Says how long it took, how long training stood still for it, the bytes written
// for each dirty one, the memory that came on top, and whether losses and records are those of the
// run that waited. Makes and removes a run in FOLDER: twice MIB, and the memory of both tiers.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "engine/run.h"
#include "engine/run_files.h"
#include "engine/train_step.h"
#include "io/check.h"
#include "io/checksum.h"
#include "io/disk.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "io/random.h"
#include "kernels/machine_memory.h"

namespace mneme::engine {
namespace {

using Clock = std::chrono::steady_clock;
using kernels::RowId;

constexpr std::uint64_t kStepsBefore = 2, kStepsAfter = 30;

Config config_of(const std::string& folder, std::uint64_t dirty_bytes, bool behind) {
  Config config;
  config.run.directory = folder;
  config.run.device = DeviceKind::kCpu;
  config.run.threads = 2;
  config.model.width = 256;
  config.model.blocks = 6;
  config.model.attention_heads = 4;
  config.model.kv_heads = 4;
  config.model.feed_forward_hidden = 768;
  config.model.feed_forward = {FeedForwardKind::kMemory, {2, 4}};
  config.memory.heads = 4;
  config.memory.knn = 8;
  config.memory.half_keys = 640;  // 409,600 rows of 3 KiB: more than are dirty
  config.memory.key_width = 32;
  // Half of what is dirty on the device, and room for the rest in host memory.
  config.tiers.store.device_bytes = dirty_bytes / 2;
  config.tiers.store.host_bytes = dirty_bytes * 3 / 4;
  config.train.batch = 4;
  config.train.sequence = 256;
  config.train.steps = 1000;
  config.checkpoint.background = behind;
  config.checkpoint.every = 1000;  // so that there are buffers for it
  return config;
}

struct Measured {
  double duration_ms = 0;  // from the beginning of the checkpoint until it is committed
  double still_ms = 0;     // that training stood still for it meanwhile
  double step_ms = 0;      // median of those that began meanwhile
  double steps_ms =
      0;  // all steps from the checkpoint on, the checkpoint apart where it is waited for
  std::uint64_t dirty_bytes = 0, written_bytes = 0, memory_bytes = 0;
  std::vector<double> losses;
  std::uint64_t records = 0;  // a checksum of all rows as the checkpoint has them
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Benchmark {
 public:
  Benchmark(const std::string& folder, std::uint64_t dirty_bytes, bool behind)
      : config_(config_of(folder, dirty_bytes, behind)) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    run_ = std::make_unique<Run>(config_, *disk_, RunOptions{.id = kRunId, .schedule = {}});
    step_ = std::make_unique<TrainStep>(*run_, /*will_be_saved=*/true);
    run_->initialize();
    batch_.tokens.resize(static_cast<std::size_t>(config_.tokens_per_micro_batch()));
    run_->table()->store().prepare_checkpoints();
    dirty(dirty_bytes);
  }
  ~Benchmark() {
    run_.reset();
    std::filesystem::remove_all(config_.run.directory);
  }

  Measured measure() {
    Measured measured;
    for (std::uint64_t i = 0; i < kStepsBefore; ++i) measured.losses.push_back(take_step().loss);
    offload::TieredStore& store = run_->table()->store();
    measured.dirty_bytes = store.touched_rows().size() * slot_bytes();
    store.take_books();
    const std::size_t memory = kernels::resident_memory_bytes();
    const auto start = Clock::now();
    save(measured);
    std::vector<double> steps;
    std::size_t most_memory = memory;
    const auto stepping = config_.checkpoint.background ? start : Clock::now();
    for (std::uint64_t i = 0; i < kStepsAfter; ++i) {
      const bool meanwhile = saving_;
      const StepMetrics metrics = take_step();
      measured.losses.push_back(metrics.loss);
      most_memory = std::max(most_memory, kernels::resident_memory_bytes());
      if (!meanwhile) continue;
      steps.push_back(metrics.times.step_ms);
      measured.still_ms += metrics.times.checkpoint_ms;
      const auto polled = Clock::now();
      saving_ = !run_->checkpoints().poll();
      measured.still_ms += io::elapsed_ms(polled);
      if (!saving_) measured.duration_ms = io::elapsed_ms(start);
    }
    measured.steps_ms = io::elapsed_ms(stepping);
    CHECK(!saving_, "the checkpoint takes more than {} steps", kStepsAfter);
    measured.step_ms = median(steps);
    const offload::Books books = store.take_books();
    measured.still_ms += 1e-3 * double(books.total()[offload::Field::kStallCheckpoint]);
    measured.written_bytes = books.total(offload::Cause::kCheckpoint).disk_bytes_written();
    measured.memory_bytes = most_memory - memory;
    run_.reset();
    measured.records = records();
    return measured;
  }

 private:
  static constexpr std::uint64_t kRunId = 1;

  std::uint64_t slot_bytes() const {
    const std::uint64_t record = run_->table()->store().options().layout.record_bytes() + 64;
    return (record + 511) / 512 * 512;
  }

  // Random tokens: steps use rows from all over the table.
  StepMetrics take_step() {
    for (auto& token : batch_.tokens) token = static_cast<std::int32_t>(random_.below(256));
    batch_.targets = batch_.tokens;
    return step_->take(++steps_, [&](std::int64_t, Batch& batch) { batch = batch_; });
  }

  void dirty(std::uint64_t bytes) {
    offload::TieredStore& store = run_->table()->store();
    const std::size_t record_bytes = store.options().layout.record_bytes();
    std::vector<std::byte> record(record_bytes);
    const std::uint64_t rows = bytes / slot_bytes();
    for (RowId first = 0; first < rows; first += 1000) {
      std::vector<RowId> batch(std::min<std::uint64_t>(1000, rows - first));
      std::iota(batch.begin(), batch.end(), first);
      store.write_records(batch, std::vector<const std::byte*>(batch.size(), record.data()));
    }
  }

  void save(Measured& measured) {
    const RunRecord record = {
        .id = kRunId, .config = "", .data = {}, .validation_data = {}, .schedule = {{1, {}}}};
    const auto start = Clock::now();
    if (config_.checkpoint.background) {
      run_->begin_save(steps_, record, [] { return MetricsMark{}; });
      saving_ = true;
    } else {
      run_->save(steps_, record, [] { return MetricsMark{}; });
      measured.duration_ms = io::elapsed_ms(start);
    }
    measured.still_ms = io::elapsed_ms(start);
  }

  // Of the checkpoint, opened anew.
  std::uint64_t records() {
    Config whole = config_;
    whole.tiers.store.host_bytes = 0;
    Run run(whole, *disk_, {.id = kRunId, .schedule = {}, .read_only = true});
    run.load(read_manifest(*disk_, checkpoints_directory(config_.run.directory)));
    offload::TieredStore& store = run.table()->store();
    const std::size_t bytes = store.options().layout.record_bytes();
    const auto rows = static_cast<std::int64_t>(store.options().rows);
    std::vector<std::byte> some(4096 * bytes);
    std::uint64_t sum = 0;
    for (std::int64_t first = 0; first < rows; first += 4096) {
      const std::int64_t count = std::min<std::int64_t>(4096, rows - first);
      store.read_records(static_cast<RowId>(first), count, some.data());
      sum = io::extend_checksum(sum, std::span(some).first(std::size_t(count) * bytes));
    }
    return sum;
  }

  Config config_;
  std::unique_ptr<io::Disk> disk_ = io::make_posix_disk();
  std::unique_ptr<Run> run_;
  std::unique_ptr<TrainStep> step_;
  Batch batch_;
  io::SplitMix random_{1};
  std::uint64_t steps_ = 0;
  bool saving_ = false;
};

void measure(const std::string& folder, int rounds, std::uint64_t dirty_bytes) {
  std::vector<double> shares, durations, ratios;
  for (int i = 0; i < rounds; ++i) {
    const Measured waiting = Benchmark(folder, dirty_bytes, false).measure();
    const Measured behind = Benchmark(folder, dirty_bytes, true).measure();
    const double share = behind.still_ms / behind.duration_ms;
    shares.push_back(share);
    ratios.push_back(double(behind.written_bytes) / double(behind.dirty_bytes));
    fmt::print(
        "waited for: {:.0f} ms for {} MiB; behind training: {:.0f} ms, training stood still {:.1f} "
        "ms ({:.1f}%), steps of {:.0f} ms, all of them {:.0f} ms longer; bytes {:.3f} x dirty, {} "
        "MiB of memory beside the buffers; losses {}, records {}\n",
        waiting.duration_ms, waiting.dirty_bytes >> 20, behind.duration_ms, behind.still_ms,
        100 * share, behind.step_ms, behind.steps_ms - waiting.steps_ms, ratios.back(),
        (behind.memory_bytes - std::min(behind.memory_bytes, waiting.memory_bytes)) >> 20,
        waiting.losses == behind.losses ? "equal" : "DIFFER",
        waiting.records == behind.records ? "equal" : "DIFFER");
  }
  fmt::print("medians: stood still {:.1f}%, bytes {:.3f} x dirty\n", 100 * median(shares),
             median(ratios));
}

}  // namespace
}  // namespace mneme::engine

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: checkpoint_benchmark FOLDER [ROUNDS] [MIB]\n");
    return 2;
  }
  try {
    mneme::engine::measure(std::string(argv[1]) + "/checkpoint_benchmark",
                           argc > 2 ? std::atoi(argv[2]) : 5,
                           (argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1024) << 20);
  } catch (const mneme::io::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
  return 0;
}
