// Hinted rows beside a training step: are 5,000 rows in the host tier when a step of half a second
// on two threads ends, and how much longer does the step take? Steps with and without hints in
// turns. The hinted rows are of a table of their own, so that both kinds of step do the same work.
//
//   hint_benchmark FOLDER [ROUNDS]
//
// Makes and removes a rows file of 25,000 records of 3 KiB in FOLDER.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "engine/config_reader.h"
#include "engine/run.h"
#include "engine/train_step.h"
#include "io/disk.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "io/random.h"

namespace mneme::engine {
namespace {

using Clock = std::chrono::steady_clock;
using kernels::RowId;

// A third set of hinted rows drives the first one out of the host tier.
constexpr RowId kHinted = 5'000, kSets = 3, kRows = 25'000;
constexpr std::uint64_t kHostSlots = 10'000;

Config step_of_half_a_second() {
  Config config;
  config.run.directory = "hint_benchmark";
  config.run.device = DeviceKind::kCpu;
  config.run.threads = 2;
  config.run.arena_bytes = std::uint64_t{1} << 30;
  config.model.width = 256;
  config.model.blocks = 6;
  config.model.attention_heads = 4;
  config.model.kv_heads = 4;
  config.model.feed_forward_hidden = 768;
  config.train.batch = 12;
  config.train.sequence = 256;
  config.train.steps = 1000;
  return config;
}

offload::StoreOptions table_on_disk(const std::string& path) {
  offload::StoreOptions options;
  options.rows = kRows;
  options.layout = kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(256)});
  options.paths = {path};
  options.tiers.device_bytes = offload::device_bytes_for(options, 512);
  options.tiers.host_bytes = kHostSlots * ((options.layout.record_bytes() + 63) / 64 * 64);
  options.tiers.io_depth = 64;
  return options;
}

// Writes all rows; the last ones stay in memory.
void fill(offload::TieredStore& store) {
  const std::size_t bytes = store.options().layout.record_bytes();
  const std::vector<std::byte> record(bytes);
  for (RowId first = 0; first < kRows; first += 500) {
    std::vector<RowId> rows(500);
    std::iota(rows.begin(), rows.end(), first);
    store.write_records(rows, std::vector<const std::byte*>(rows.size(), record.data()));
  }
  store.flush();
  store.commit_checkpoint(1);
  store.take_books();
}

class Benchmark {
 public:
  explicit Benchmark(const std::string& path)
      : run_(config_, *disk_),
        step_(run_, /*will_be_saved=*/false),
        store_(run_.backend(), *disk_, table_on_disk(path)) {
    run_.initialize();
    fill(store_);
    batch_.tokens.resize(static_cast<std::size_t>(config_.tokens_per_micro_batch()));
    for (auto& token : batch_.tokens) token = static_cast<std::int32_t>(random_.below(256));
    batch_.targets = batch_.tokens;
  }

  double step_ms() {
    const auto start = Clock::now();
    step_.take(++steps_, [&](std::int64_t, Batch& batch) { batch = batch_; });
    return io::elapsed_ms(start);
  }

  struct Hinted {
    double step_ms = 0;
    double late_ms = 0;  // until the rest had arrived
    std::uint64_t rows = 0, dropped = 0;
  };
  Hinted hinted_step() {
    // Others than the last time, so that all have to be read.
    std::vector<RowId> rows(kHinted);
    std::iota(rows.begin(), rows.end(), turn_++ % kSets * kHinted);
    store_.begin_step(steps_ + 1);
    const auto start = Clock::now();
    store_.hint({.rows = rows, .byte_budget = std::uint64_t{1} << 30});
    Hinted hinted;
    step_ms();
    hinted.step_ms = io::elapsed_ms(start);
    const auto end = Clock::now();
    store_.finish_transfers();
    hinted.late_ms = io::elapsed_ms(end);
    const offload::Entry books = store_.take_books().total();
    hinted.rows = books[offload::Field::kDiskToHostRows];
    hinted.dropped = books[offload::Field::kHintsDropped];
    use(rows);
    return hinted;
  }

  // Rows that are hinted and never used keep their slots.
  void use(const std::vector<RowId>& rows) {
    const std::int64_t most = store_.lease_capacity(offload::LeaseMode::kTrain);
    for (std::size_t first = 0; first < rows.size(); first += static_cast<std::size_t>(most)) {
      const auto count = std::min(most, static_cast<std::int64_t>(rows.size() - first));
      std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(first), count, leased_.data());
      store_.acquire(run_.stream(), {.rows = leased_.data(), .count = count}, {});
      run_.stream().synchronize();
    }
    store_.take_books();
  }

 private:
  Config config_ = step_of_half_a_second();
  std::unique_ptr<io::Disk> disk_ = io::make_posix_disk();
  Run run_;
  TrainStep step_;
  offload::TieredStore store_;
  kernels::DeviceArray<RowId> leased_ = kernels::pinned_array<RowId>(run_.backend(), kHinted);
  Batch batch_;
  io::SplitMix random_{1};
  std::uint64_t steps_ = 0;
  RowId turn_ = 0;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void measure(const std::string& path, int rounds) {
  Benchmark benchmark(path);
  benchmark.step_ms();
  std::vector<double> without, with, late, ratios;
  for (int i = 0; i < rounds; ++i) {
    const double plain = benchmark.step_ms();
    const Benchmark::Hinted hinted = benchmark.hinted_step();
    without.push_back(plain);
    with.push_back(hinted.step_ms);
    late.push_back(hinted.late_ms);
    ratios.push_back(hinted.step_ms / plain);
    fmt::print("step {:.0f} ms; with hints {:.0f} ms, {} rows read, {} dropped, {:.2f} ms late\n",
               plain, hinted.step_ms, hinted.rows, hinted.dropped, hinted.late_ms);
  }
  fmt::print("medians: {:.0f} and {:.0f} ms, ratio {:.3f}, late {:.2f} ms\n", median(without),
             median(with), median(ratios), median(late));
}

}  // namespace
}  // namespace mneme::engine

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: hint_benchmark FOLDER [ROUNDS]\n");
    return 2;
  }
  const std::string path = std::string(argv[1]) + "/hint_benchmark.rows";
  try {
    mneme::engine::measure(path, argc > 2 ? std::atoi(argv[2]) : 15);
  } catch (const mneme::io::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
  mneme::io::make_posix_disk()->remove(path);
  return 0;
}
