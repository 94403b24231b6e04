// How long reads for a lease take while hints wait: batches of 2,000 rows, with and without 100,000
// hinted rows, in turns. Between batches the reader does something else for some milliseconds, in
// which hints are read.
//
//   demand_benchmark FILE [BATCHES [RECORD_BYTES [DEPTH]]]
//
// Makes and removes FILE, a rows file of 300,000 records.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "io/disk.h"
#include "io/error.h"
#include "io/random.h"
#include "offload/disk/disk_engine.h"

namespace mneme::offload {
namespace {

using kernels::RowId;
using Clock = std::chrono::steady_clock;

constexpr RowId kRows = 300'000, kHinted = 100'000;  // the last ones are hinted
constexpr std::size_t kBatchRows = 2000;
constexpr auto kBetween = std::chrono::milliseconds(5);

class Benchmark {
 public:
  Benchmark(const std::string& path, std::uint32_t record_bytes, std::uint32_t depth)
      : engine_(*backend_, *disk_,
                {.paths = {path},
                 .record_bytes = record_bytes,
                 .table_id = 1,
                 .table_rows = kRows,
                 .open = {.depth = depth}}),
        target_(record_bytes),
        finished_(engine_.read_buffers()) {
    std::vector<kernels::SlotId> buffers(100);
    std::vector<RowId> rows(buffers.size());
    for (RowId first = 0; first < kRows; first += static_cast<RowId>(rows.size())) {
      std::iota(rows.begin(), rows.end(), first);
      engine_.stage_writes(buffers);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        std::memset(engine_.write_payload(buffers[i]), static_cast<int>(rows[i] % 251),
                    record_bytes);
      }
      engine_.submit_writes(buffers, rows);
    }
    engine_.finish_writes();
  }

  // Of the rows that are not waiting any more, as many again.
  void hint() {
    collect();
    std::vector<RowId> rows;
    for (RowId row = kRows - kHinted; row < kRows; ++row) {
      if (!is_waiting_[row]) rows.push_back(row);
    }
    for (const RowId row : rows) is_waiting_[row] = true;
    engine_.hint(rows, std::vector<std::byte*>(rows.size(), target_.data()));
  }
  void cancel() {
    for (RowId row = kRows - kHinted; row < kRows; ++row) {
      if (is_waiting_[row] && engine_.cancel_hint(row)) is_waiting_[row] = false;
    }
    while (std::find(is_waiting_.begin(), is_waiting_.end(), true) != is_waiting_.end()) {
      engine_.await_hint_event();
      collect();
    }
  }
  std::uint64_t hints_read() const { return hints_read_; }

  double batch_ms() {
    std::vector<RowId> rows(kBatchRows);
    for (RowId& row : rows) row = static_cast<RowId>(random_.below(kRows - kHinted));
    const auto start = Clock::now();
    for (std::size_t started = 0, arrived = 0; arrived < rows.size();) {
      started += engine_.start_reads(std::span(rows).subspan(started),
                                     static_cast<std::uint32_t>(started));
      const std::size_t count =
          engine_.finished_reads(finished_, std::min(started - arrived, finished_.size() / 4));
      buffers_.clear();
      for (std::size_t i = 0; i < count; ++i) buffers_.push_back(finished_[i].buffer);
      engine_.release_reads(buffers_);
      arrived += count;
    }
    const double ms = 1e3 * std::chrono::duration<double>(Clock::now() - start).count();
    std::this_thread::sleep_for(kBetween);
    return ms;
  }

 private:
  void collect() {
    for (const HintEvent& event : engine_.hint_events()) {
      if (!event.has_arrived) continue;
      is_waiting_[event.row] = false;
      ++hints_read_;
    }
  }

  std::unique_ptr<kernels::Backend> backend_ = kernels::make_cpu_backend({.threads = 1});
  std::unique_ptr<io::Disk> disk_ = io::make_posix_disk();
  DiskEngine engine_;
  std::vector<std::byte> target_;
  std::vector<FinishedRead> finished_;
  std::vector<kernels::SlotId> buffers_;
  std::vector<bool> is_waiting_ = std::vector<bool>(kRows);
  std::uint64_t hints_read_ = 0;
  io::SplitMix random_{1};
};

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * double(values.size() - 1) + 0.5)];
}

void run(const std::string& path, int batches, std::uint32_t record_bytes, std::uint32_t depth) {
  Benchmark benchmark(path, record_bytes, depth);
  constexpr int kTurn = 20;
  std::vector<double> without, with;
  for (int done = 0; done < batches; done += kTurn) {
    for (int i = 0; i < kTurn; ++i) without.push_back(benchmark.batch_ms());
    benchmark.hint();
    for (int i = 0; i < kTurn; ++i) with.push_back(benchmark.batch_ms());
    benchmark.cancel();
  }
  for (const auto& [name, ms] :
       {std::pair("without hints", &without), std::pair("with hints", &with)}) {
    fmt::print("{:<14} {} batches: p50 {:.1f} ms, p99 {:.1f} ms\n", name, ms->size(),
               quantile(*ms, 0.5), quantile(*ms, 0.99));
  }
  fmt::print("p99 {:.2f} x; {} hinted rows were read meanwhile\n",
             quantile(with, 0.99) / quantile(without, 0.99), benchmark.hints_read());
}

}  // namespace
}  // namespace mneme::offload

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: demand_benchmark FILE [BATCHES [RECORD_BYTES [DEPTH]]]\n");
    return 2;
  }
  const auto number = [&](int index, int otherwise) {
    return argc > index ? std::atoi(argv[index]) : otherwise;
  };
  const auto disk = mneme::io::make_posix_disk();
  if (disk->exists(argv[1])) {
    fmt::print(stderr, "{}: is there already\n", argv[1]);
    return 1;
  }
  mneme::offload::run(argv[1], number(2, 200), static_cast<std::uint32_t>(number(3, 2048)),
                      static_cast<std::uint32_t>(number(4, 64)));
  disk->remove(argv[1]);
  return 0;
}
