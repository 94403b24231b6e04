// Measures what a disk gives to record transfers: random records at a constant queue depth, on a
// file of random data that was really written, past the page cache.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "io/disk.h"

namespace mneme::io {

struct DiskBenchmarkOptions {
  std::string path;
  std::uint64_t file_bytes = std::uint64_t{1} << 30;  // rounded down to whole records and pages
  std::uint32_t record_bytes = 12288;                 // a multiple of the disk's alignment
  std::uint32_t depth = 64;
  double read_share = 1.0;  // of the transfers; the others are writes
  double seconds = 10;
  std::uint64_t seed = 1;
  IoEngine engine = IoEngine::kAuto;
  // Called between transfers. What it throws ends the benchmark. May be empty.
  std::function<void()> interruption;
};

struct DiskBenchmarkLatency {
  std::uint64_t transfers = 0;
  double p50_us = 0;  // from submission to the poll that hands the completion out
  double p99_us = 0;
};

struct DiskBenchmarkResult {
  double seconds = 0;
  double iops = 0;
  double bytes_per_second = 0;
  double cpu_us_per_transfer = 0;  // user and kernel time of the calling thread
  DiskBenchmarkLatency reads;
  DiskBenchmarkLatency writes;
  std::uint64_t retries = 0;
  bool reused_file = false;  // the file of an earlier run with these sizes was there
};

// Writes the file, unless an earlier run has left it complete, and measures. The file stays: other
// programs can be measured on it, and the caller removes it. Throws Error on any failed transfer,
// and for a file that no benchmark made (benchmark_file.h), which it leaves as it is.
DiskBenchmarkResult run_disk_benchmark(Disk& disk, const DiskBenchmarkOptions& options);

}  // namespace mneme::io
