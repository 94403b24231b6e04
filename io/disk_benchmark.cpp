#include "io/disk_benchmark.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "io/aligned_buffer.h"
#include "io/benchmark_file.h"
#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/file_io.h"
#include "io/progress.h"
#include "io/random.h"
#include "io/utf8.h"

namespace mneme::io {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kFillBytes = 1 << 20;
constexpr std::uint32_t kFillDepth = 8;

// Latencies in buckets 1/32 of a power of two wide, so that a quantile is within 3%.
class LatencyHistogram {
 public:
  void add(std::uint64_t nanoseconds) {
    ++buckets_[bucket_of(nanoseconds)];
    ++count_;
  }

  DiskBenchmarkLatency summary() const { return {count_, quantile_us(0.50), quantile_us(0.99)}; }

 private:
  static constexpr unsigned kBits = 5;

  static std::size_t bucket_of(std::uint64_t value) {
    if (value < (1u << kBits)) return value;
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kBits - 1;
    return (std::size_t{shift} << kBits) + (value >> shift);
  }
  // The middle of a bucket, in microseconds.
  static double value_of(std::size_t bucket) {
    if (bucket < (2u << kBits)) return static_cast<double>(bucket) / 1000;
    const std::size_t shift = (bucket >> kBits) - 1;
    const std::size_t mantissa = (bucket & ((1u << kBits) - 1)) + (1u << kBits);
    return (static_cast<double>(mantissa) + 0.5) * static_cast<double>(std::uint64_t{1} << shift) /
           1000;
  }
  double quantile_us(double share) const {
    std::uint64_t left = static_cast<std::uint64_t>(share * static_cast<double>(count_));
    for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
      if (buckets_[bucket] > left) return value_of(bucket);
      left -= buckets_[bucket];
    }
    return 0;
  }

  std::array<std::uint64_t, (64 - kBits + 1) << kBits> buckets_ = {};
  std::uint64_t count_ = 0;
};

double thread_cpu_seconds() {
  struct rusage usage = {};
  CHECK(::getrusage(RUSAGE_THREAD, &usage) == 0);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void check_completion(const BlockFile& file, const BlockCompletion& completion) {
  if (completion.error != 0) {
    fail("{}: a transfer of the benchmark failed: {}", file.path(), errno_text(completion.error));
  }
}

// A file with a mark: the one that is there, when a benchmark made it, or a new one.
std::unique_ptr<BlockFile> open_marked(Disk& disk, const std::string& path, OpenOptions open) {
  if (disk.exists(path)) {
    auto file = disk.open(path, open);
    if (!read_benchmark_mark(*file)) {
      fail("{}: is there already and no file of this benchmark; name another path", path);
    }
    return file;
  }
  open.create = true;
  open.exclusive = true;
  auto file = disk.open(path, open);
  try {
    write_benchmark_mark(*file, {});
  } catch (const Error&) {
    disk.remove(path);
    throw;
  }
  return file;
}

// Writes file_bytes of random data. Holes, reserved space and zeros would read faster than data.
void fill_file(BlockFile& file, const DiskBenchmarkOptions& options, std::uint64_t file_bytes) {
  AlignedBuffer memory(std::size_t{kFillBytes} * kFillDepth, kBenchmarkMarkBytes);
  write_benchmark_mark(file, {file_bytes, false});
  file.reserve(file_bytes + kBenchmarkMarkBytes);
  SplitMix random(options.seed);
  Phase phase("writing " + printable(file.path()), file_bytes);
  std::uint64_t offset = 0;
  std::vector<std::uint64_t> idle;
  for (std::uint64_t i = 0; i < kFillDepth; ++i) idle.push_back(i);
  while (offset < file_bytes || file.in_flight() > 0) {
    while (offset < file_bytes && !idle.empty()) {
      std::byte* data = memory.data() + idle.back() * kFillBytes;
      const auto bytes =
          static_cast<std::uint32_t>(std::min<std::uint64_t>(kFillBytes, file_bytes - offset));
      random.fill({data, bytes});
      CHECK(file.submit({BlockOperation::kWrite, offset, data, bytes, idle.back()}));
      idle.pop_back();
      offset += bytes;
    }
    BlockCompletion done;
    if (file.poll({&done, 1}, /*wait=*/true) == 0) continue;
    check_completion(file, done);
    idle.push_back(done.tag);
    phase.reach(offset);
    if (options.interruption) options.interruption();
  }
  file.sync();
  write_benchmark_mark(file, {file_bytes, true});
}

// Makes sure that the file is there, complete; whether it was already.
bool provide_file(Disk& disk, const DiskBenchmarkOptions& options, std::uint64_t file_bytes) {
  OpenOptions open;
  open.depth = kFillDepth;
  open.engine = options.engine;
  const auto file = open_marked(disk, options.path, open);
  const std::optional<BenchmarkMark> mark = read_benchmark_mark(*file);
  if (mark && mark->complete && mark->content_bytes == file_bytes) return true;
  fill_file(*file, options, file_bytes);
  return false;
}

// Keeps `depth` random transfers in flight until the time is over.
class Load {
 public:
  Load(BlockFile& file, std::byte* memory, const DiskBenchmarkOptions& options,
       std::uint64_t records)
      : file_(file),
        memory_(memory),
        options_(options),
        records_(records),
        random_(options.seed + 1),
        flights_(options.depth) {}

  void run() {
    const Phase phase(fmt::format("measuring for {} s", options_.seconds));
    const auto deadline = Clock::now() + std::chrono::duration<double>(options_.seconds);
    for (std::uint64_t place = 0; place < options_.depth; ++place) submit(place, Clock::now());
    std::vector<BlockCompletion> completions(options_.depth);
    bool open = true;
    while (file_.in_flight() > 0) {
      if (options_.interruption) options_.interruption();
      const std::size_t count = file_.poll(completions, /*wait=*/true);
      const auto now = Clock::now();
      open = open && now < deadline;
      for (std::size_t i = 0; i < count; ++i) {
        check_completion(file_, completions[i]);
        const Flight& flight = flights_[completions[i].tag];
        const auto latency =
            std::chrono::duration_cast<std::chrono::nanoseconds>(now - flight.start).count();
        (flight.read ? reads : writes).add(static_cast<std::uint64_t>(latency));
        if (open) submit(completions[i].tag, now);
      }
    }
  }

  LatencyHistogram reads;
  LatencyHistogram writes;

 private:
  struct Flight {
    Clock::time_point start;
    bool read = true;
  };

  void submit(std::uint64_t place, Clock::time_point now) {
    const bool read = options_.read_share >= 1 || random_.chance(options_.read_share);
    flights_[place] = {now, read};
    CHECK(file_.submit({read ? BlockOperation::kRead : BlockOperation::kWrite,
                        random_.below(records_) * options_.record_bytes,
                        memory_ + place * options_.record_bytes, options_.record_bytes, place}));
  }

  BlockFile& file_;
  std::byte* memory_;
  const DiskBenchmarkOptions& options_;
  std::uint64_t records_;
  SplitMix random_;
  std::vector<Flight> flights_;
};

}  // namespace

DiskBenchmarkResult run_disk_benchmark(Disk& disk, const DiskBenchmarkOptions& options) {
  const bool sane = options.record_bytes > 0 && options.depth >= 1 && options.read_share >= 0 &&
                    options.read_share <= 1 && options.seconds > 0;
  if (!sane) {
    fail("{}: the benchmark needs record bytes, a depth, a read share of 0 to 1, and seconds",
         options.path);
  }
  // Whole records and whole pages: the fill's blocks and the mark start at multiples of 4096.
  const std::uint64_t unit = std::lcm(std::uint64_t{options.record_bytes}, kBenchmarkMarkBytes);
  const std::uint64_t file_bytes = options.file_bytes / unit * unit;
  const std::uint64_t records = file_bytes / options.record_bytes;
  if (records == 0) fail("{}: a file of at least {} bytes is needed", options.path, unit);

  // Declared before the file, because registered memory must outlive it.
  AlignedBuffer memory(std::size_t{options.depth} * options.record_bytes, kBenchmarkMarkBytes);
  DiskBenchmarkResult result;
  OpenOptions open;
  open.depth = options.depth;
  open.engine = options.engine;
  result.reused_file = provide_file(disk, options, file_bytes);

  const auto file = disk.open(options.path, open);
  if (options.record_bytes % file->alignment() != 0) {
    fail("{}: records of {} bytes are not multiples of the disk's {} bytes", options.path,
         options.record_bytes, file->alignment());
  }
  SplitMix(options.seed + 2).fill(memory.span());
  file->register_buffer(memory.span());
  auto load = std::make_unique<Load>(*file, memory.data(), options, records);
  const double cpu_before = thread_cpu_seconds();
  const auto start = Clock::now();
  load->run();
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const double cpu_seconds = thread_cpu_seconds() - cpu_before;

  result.reads = load->reads.summary();
  result.writes = load->writes.summary();
  result.retries = file->counters().retries;
  const auto transfers = static_cast<double>(result.reads.transfers + result.writes.transfers);
  result.iops = transfers / result.seconds;
  result.bytes_per_second = result.iops * options.record_bytes;
  result.cpu_us_per_transfer = cpu_seconds * 1e6 / transfers;
  return result;
}

}  // namespace mneme::io
