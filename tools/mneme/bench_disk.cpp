// mneme bench disk: what a disk gives to random records, beside which page-in rates are judged.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "io/disk.h"
#include "io/disk_benchmark.h"
#include "io/human.h"
#include "io/progress.h"
#include "io/utf8.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/scratch_file.h"

namespace mneme::tools {
namespace {

nlohmann::ordered_json json_of(const io::DiskBenchmarkLatency& latency) {
  return {{"transfers", latency.transfers}, {"p50_us", latency.p50_us}, {"p99_us", latency.p99_us}};
}

std::string json_text(const BenchDiskOptions& options, const io::DiskBenchmarkResult& result) {
  const nlohmann::ordered_json object = {{"path", io::bytes_to_utf8(options.path)},
                                         {"engine", io::name_of(options.io_engine)},
                                         {"file_bytes", options.file_bytes},
                                         {"record_bytes", options.record_bytes},
                                         {"depth", options.depth},
                                         {"read_share", options.read_share},
                                         {"seconds", result.seconds},
                                         {"iops", result.iops},
                                         {"bytes_per_second", result.bytes_per_second},
                                         {"cpu_us_per_transfer", result.cpu_us_per_transfer},
                                         {"reads", json_of(result.reads)},
                                         {"writes", json_of(result.writes)},
                                         {"retries", result.retries}};
  return object.dump() + "\n";
}

std::string line_of(const char* name, const io::DiskBenchmarkLatency& latency, double seconds,
                    std::uint64_t record_bytes) {
  if (latency.transfers == 0) return {};
  const double rate = static_cast<double>(latency.transfers) / seconds;
  return fmt::format("{:<6} {:>9.0f} records/s  {:>9.1f} MB/s  p50 {:.0f} us  p99 {:.0f} us\n",
                     name, rate, rate * static_cast<double>(record_bytes) / 1e6, latency.p50_us,
                     latency.p99_us);
}

std::string plain_text(const BenchDiskOptions& options, const io::DiskBenchmarkResult& result) {
  return fmt::format("{}: records of {} bytes in {}, depth {}\n", options.path,
                     options.record_bytes, io::human_bytes(static_cast<double>(options.file_bytes)),
                     options.depth) +
         line_of("read", result.reads, result.seconds, options.record_bytes) +
         line_of("write", result.writes, result.seconds, options.record_bytes) +
         fmt::format("total  {:>9.0f} records/s  {:>9.1f} MB/s  CPU {:.1f} us a record\n",
                     result.iops, result.bytes_per_second / 1e6, result.cpu_us_per_transfer);
}

}  // namespace

int run_bench_disk(const BenchDiskOptions& options) {
  const auto disk = io::make_posix_disk();
  const InterruptGuard interrupt;
  const ScratchFile file(*disk, options);
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const io::DiskBenchmarkOptions benchmark{.path = options.path,
                                           .file_bytes = options.file_bytes,
                                           .record_bytes = options.record_bytes,
                                           .depth = options.depth,
                                           .read_share = options.read_share,
                                           .seconds = options.seconds,
                                           .seed = options.seed,
                                           .engine = options.io_engine,
                                           .interruption = [&] { interrupt.check(); }};
  const io::DiskBenchmarkResult result = io::run_disk_benchmark(*disk, benchmark);
  const std::string text = options.json ? json_text(options, result) : plain_text(options, result);
  fmt::print("{}", text);
  return 0;
}

}  // namespace mneme::tools
