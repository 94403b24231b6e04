// mneme bench disk --through-store: rows that lie on disk, paged into the device's memory through
// the tiered store, as training pages them in.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "engine/config.h"
#include "engine/device.h"
#include "io/disk.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "io/human.h"
#include "io/progress.h"
#include "io/random.h"
#include "io/record_file.h"
#include "io/utf8.h"
#include "kernels/device_array.h"
#include "offload/tiered_store.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/scratch_file.h"
#include "tools/mneme/scratch_folder.h"

namespace mneme::tools {
namespace {

using Clock = std::chrono::steady_clock;
using kernels::RowId;

// Leases that are drawn beforehand and taken in turn: together they cover the file many times.
constexpr std::int64_t kLeases = 16;

// The widest row with two moments whose slot on disk has `slot_bytes`.
kernels::RecordLayout layout_of(std::uint32_t slot_bytes) {
  constexpr std::uint32_t kFloatsOfAPart = 8;  // parts of a record start at multiples of 32 bytes
  constexpr std::uint32_t kHeader = io::RecordFile::kPayloadOffset +
                                    static_cast<std::uint32_t>(kernels::RecordLayout::kHeadBytes);
  const std::uint32_t width = (slot_bytes - kHeader) / 3 / 4 / kFloatsOfAPart * kFloatsOfAPart;
  return kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(width)});
}

offload::StoreOptions store_options(const BenchDiskOptions& options, std::int64_t lease_rows,
                                    const std::string& path) {
  offload::StoreOptions store;
  store.rows = options.file_bytes / options.record_bytes;
  store.layout = layout_of(options.record_bytes);
  store.initial_standard_deviation[0] = 1;
  store.seed = options.seed;
  store.paths = {path};
  // Room for a lease or two, which later ones evict; nothing in host memory.
  const std::uint64_t minimum = offload::minimum_device_bytes(store.layout);
  store.tiers.device_bytes = minimum + minimum / 8 * static_cast<std::uint64_t>(lease_rows);
  store.tiers.evaluation_share = 0;
  store.tiers.host_bytes = 0;
  store.tiers.io_depth = options.depth;
  store.tiers.io_engine = options.io_engine;
  return store;
}

// Writes random records of every row to the disk, into a file that grows; the seconds.
double write_rows(offload::TieredStore& store, io::SplitMix& random,
                  const InterruptGuard& interrupt) {
  constexpr std::uint64_t kChunk = 1024;
  const std::uint64_t rows = store.options().rows;
  io::Phase phase("writing the rows", rows, "rows");
  const std::size_t record_bytes = store.options().layout.record_bytes();
  std::vector<std::byte> memory(kChunk * record_bytes);
  std::vector<RowId> ids;
  std::vector<const std::byte*> records;
  random.fill(memory);
  const auto start = Clock::now();
  for (std::uint64_t first = 0; first < rows; first += kChunk) {
    interrupt.check();
    ids.clear();
    records.clear();
    for (std::uint64_t i = 0; i < std::min(kChunk, rows - first); ++i) {
      ids.push_back(static_cast<RowId>(first + i));
      records.push_back(memory.data() + i * record_bytes);
    }
    store.write_records(ids, records);
    phase.reach(first);
  }
  store.flush();
  return 1e-3 * io::elapsed_ms(start);
}

// Ascending distinct rows of each lease, on the device.
class Leases {
 public:
  Leases(kernels::Backend& backend, kernels::Stream& stream, io::SplitMix& random,
         std::uint64_t rows, std::int64_t lease_rows)
      : lease_rows_(lease_rows), ids_(backend, kLeases * lease_rows) {
    const auto host = kernels::pinned_array<RowId>(backend, kLeases * lease_rows);
    for (std::int64_t lease = 0; lease < kLeases; ++lease) {
      RowId* const begin = host.data() + lease * lease_rows;
      RowId* const end = begin + lease_rows;
      for (RowId* id = begin; id != end; ++id) *id = static_cast<RowId>(random.below(rows));
      std::sort(begin, end);
      counts_.push_back(std::unique(begin, end) - begin);
    }
    backend.copy(stream, ids_.data(), host.data(),
                 kernels::DeviceArray<RowId>::bytes(kLeases * lease_rows));
    ready_ = backend.create_event();
    stream.record(*ready_);
    stream.synchronize();
  }

  const RowId* ids(std::uint64_t turn) const {
    return ids_.data() + static_cast<std::int64_t>(turn % kLeases) * lease_rows_;
  }
  std::int64_t count(std::uint64_t turn) const { return counts_[turn % kLeases]; }
  // After which they are in place.
  kernels::Event& ready() const { return *ready_; }

 private:
  std::int64_t lease_rows_;
  kernels::DeviceArray<RowId> ids_;
  std::vector<std::int64_t> counts_;
  std::unique_ptr<kernels::Event> ready_;
};

// Whether the next lease changes its rows, so that as many records are written as reads leave it.
bool is_dirty(const BenchDiskOptions& options, std::uint64_t turn) {
  const double share = (1 - options.read_share) / options.read_share;
  return std::floor(share * double(turn + 1)) > std::floor(share * double(turn));
}

struct PageInResult {
  double seconds = 0;
  double cpu_seconds = 0;  // of all threads
  offload::Entry books;
};

// A computation that takes no core: it lasts as long as told.
void compute(kernels::Stream& stream, double ms) {
  if (ms <= 0) return;
  stream.run_on_host(
      [ms] { std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(ms)); });
}

PageInResult page_in(offload::TieredStore& store, kernels::Stream& stream, const Leases& leases,
                     const BenchDiskOptions& options, const InterruptGuard& interrupt) {
  PageInResult result;
  const double least_seconds = options.seconds;
  io::Phase phase("paging in", static_cast<std::uint64_t>(1e3 * least_seconds), "ms");
  const std::clock_t cpu_before = std::clock();
  const auto start = Clock::now();
  for (std::uint64_t turn = 0; result.seconds < least_seconds; ++turn) {
    interrupt.check();
    store.begin_step(turn + 1);
    // The rows come beside the computation on those of the lease before.
    offload::Lease lease = store.acquire(stream,
                                         {.rows = leases.ids(turn),
                                          .count = leases.count(turn),
                                          .mode = offload::LeaseMode::kTrain,
                                          .rows_ready = &leases.ready()},
                                         {});
    if (is_dirty(options, turn)) lease.mark_dirty();
    lease = {};
    compute(stream, options.compute_ms);
    if (options.compute_ms <= 0) stream.synchronize();
    result.books += store.take_books().total();
    result.seconds = 1e-3 * io::elapsed_ms(start);
    phase.reach(static_cast<std::uint64_t>(1e3 * result.seconds));
  }
  result.cpu_seconds = double(std::clock() - cpu_before) / CLOCKS_PER_SEC;
  return result;
}

struct Measurement {
  std::string device, products, described;
  double fill_rate = 0;  // records a second into the file that grows
  PageInResult result;
};

void print(const BenchDiskOptions& options, const Measurement& measured) {
  const PageInResult& result = measured.result;
  const auto read = static_cast<double>(result.books.disk_rows_read());
  const auto written = static_cast<double>(result.books.disk_rows_written());
  const double rate = (read + written) / result.seconds;
  const double cpu_us = 1e6 * result.cpu_seconds / std::max(read + written, 1.0);
  const double record_bytes = options.record_bytes;
  if (options.json) {
    const nlohmann::ordered_json object = {{"path", io::bytes_to_utf8(options.path)},
                                           {"device", measured.device},
                                           {"products", measured.products},
                                           {"engine", io::name_of(options.io_engine)},
                                           {"file_bytes", options.file_bytes},
                                           {"record_bytes", options.record_bytes},
                                           {"depth", options.depth},
                                           {"lease_rows", options.lease_rows},
                                           {"seconds", result.seconds},
                                           {"read_share", options.read_share},
                                           {"iops", rate},
                                           {"reads_per_second", read / result.seconds},
                                           {"writes_per_second", written / result.seconds},
                                           {"bytes_per_second", rate * record_bytes},
                                           {"fill_records_per_second", measured.fill_rate},
                                           {"cpu_us_per_transfer", cpu_us},
                                           {"retries", result.books[offload::Field::kDiskRetries]}};
    fmt::print("{}\n", object.dump());
    return;
  }
  fmt::print("{}: rows in slots of {} bytes in {}, depth {}, onto {}\n", options.path,
             options.record_bytes, io::human_bytes(static_cast<double>(options.file_bytes)),
             options.depth, measured.described);
  const auto line = [&](const char* name, double records_per_second) {
    fmt::print("{:<10} {:>9.0f} records/s  {:>9.1f} MB/s", name, records_per_second,
               1e-6 * records_per_second * record_bytes);
  };
  line("filling", measured.fill_rate);
  fmt::print("\n");
  line("page-in", read / result.seconds);
  if (written > 0) {
    fmt::print("\n");
    line("write-back", written / result.seconds);
  }
  fmt::print("  CPU {:.1f} us a record\n", cpu_us);
}

Measurement measure(const BenchDiskOptions& options, io::Disk& disk, const std::string& rows_path,
                    const InterruptGuard& interrupt) {
  engine::RunConfig run;
  run.device = options.device;
  const auto backend = engine::make_backend(run);
  const auto stream = backend->create_stream();
  const std::uint64_t rows = options.file_bytes / options.record_bytes;
  const std::int64_t lease_rows = std::min(options.lease_rows, static_cast<std::int64_t>(rows / 8));
  offload::TieredStore store(*backend, disk, store_options(options, lease_rows, rows_path));
  io::SplitMix random(options.seed);
  const double fill_seconds = write_rows(store, random, interrupt);
  const offload::Entry filled = store.take_books().total();
  const std::uint64_t slot_bytes = filled.disk_bytes_written() / filled.disk_rows_written();
  if (slot_bytes != options.record_bytes) {
    io::fail(
        "--record-bytes {}: the disk's alignment makes it slots of {} bytes; measure that size",
        options.record_bytes, slot_bytes);
  }
  const Leases leases(*backend, *stream, random, rows, lease_rows);
  const PageInResult result = page_in(store, *stream, leases, options, interrupt);
  return {backend->name(), backend->product_library(), engine::describe(*backend),
          static_cast<double>(rows) / fill_seconds, result};
}

}  // namespace

int run_bench_store(const BenchDiskOptions& options) {
  const std::uint64_t rows = options.file_bytes / options.record_bytes;
  if (rows < 16 || layout_of(options.record_bytes).value_bytes() == 0) {
    io::fail("--file-bytes {} holds {} records of {} bytes; there must be at least 16",
             options.file_bytes, rows, options.record_bytes);
  }
  if (options.read_share < 0.5) {
    io::fail(
        "--read-share {}: through the store it is 0.5 at the least, since a row has to be read "
        "before it changes",
        options.read_share);
  }
  const auto disk = io::make_posix_disk();
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  ScratchFile file(*disk, options);
  file.remove();
  const ScratchFolder folder(options.path + ".bench");
  const std::string rows_path = folder.path() + "/rows";
  const Measurement measured = measure(options, *disk, rows_path, interrupt);
  file.publish(rows_path);
  print(options, measured);
  return 0;
}

}  // namespace mneme::tools
