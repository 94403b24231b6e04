// The benchmark measures transfers of written data, of the sizes asked for, and hides no failure.
#include "io/disk_benchmark.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/error.h"
#include "tests/io/temporary_directory.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::io {
namespace {

DiskBenchmarkOptions small(const std::string& path) {
  DiskBenchmarkOptions options;
  options.path = path;
  options.file_bytes = 3'000'000;
  options.record_bytes = 1536;
  options.depth = 8;
  options.seconds = 0.03;
  return options;
}

TEST(DiskBenchmark, measures_reads_writes_and_both_on_every_engine) {
  test::TemporaryDirectory directory;
  const auto disk = make_posix_disk();
  for (const IoEngine engine : {IoEngine::kAuto, IoEngine::kSync}) {
    for (const double read_share : {1.0, 0.5, 0.0}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(engine) << " " << read_share);
      DiskBenchmarkOptions options = small(directory.file("data"));
      options.engine = engine;
      options.read_share = read_share;
      const DiskBenchmarkResult result = run_disk_benchmark(*disk, options);
      EXPECT_EQ(result.reads.transfers > 0, read_share > 0);
      EXPECT_EQ(result.writes.transfers > 0, read_share < 1);
      EXPECT_GE(result.seconds, options.seconds);
      EXPECT_NEAR(result.iops * result.seconds,
                  static_cast<double>(result.reads.transfers + result.writes.transfers), 0.5);
      EXPECT_DOUBLE_EQ(result.bytes_per_second, result.iops * options.record_bytes);
      EXPECT_LE(result.reads.p50_us, result.reads.p99_us);
      EXPECT_LE(result.writes.p50_us, result.writes.p99_us);
    }
  }
}

TEST(DiskBenchmark, writes_real_data_once_and_uses_it_again) {
  SimulatedDisk disk;
  const DiskBenchmarkOptions options = small("data");
  EXPECT_FALSE(run_disk_benchmark(disk, options).reused_file);
  const auto content = disk.read_file("data", 1 << 24);
  const std::size_t records = content.size() - 4096;
  EXPECT_EQ(records % options.record_bytes, 0u);
  EXPECT_GT(records, 2'900'000u);
  for (std::size_t at = 0; at < records; at += 512) {
    const auto zeros =
        std::count(content.begin() + static_cast<std::ptrdiff_t>(at),
                   content.begin() + static_cast<std::ptrdiff_t>(at + 512), std::byte{0});
    ASSERT_LT(zeros, 64) << "no data at " << at;
  }
  EXPECT_TRUE(run_disk_benchmark(disk, options).reused_file);
  DiskBenchmarkOptions larger = options;
  larger.file_bytes *= 2;
  EXPECT_FALSE(run_disk_benchmark(disk, larger).reused_file);
}

TEST(DiskBenchmark, a_failed_transfer_is_an_error) {
  SimulatedDisk disk;
  const DiskBenchmarkOptions options = small("data");
  run_disk_benchmark(disk, options);
  SimulatedFaults faults;
  faults.fail_read = 50;
  disk.set_faults(faults);
  EXPECT_THROW(run_disk_benchmark(disk, options), Error);
}

TEST(DiskBenchmark, impossible_options_are_errors) {
  SimulatedDisk disk;
  DiskBenchmarkOptions options = small("data");
  options.record_bytes = 0;
  EXPECT_THROW(run_disk_benchmark(disk, options), Error);
  options = small("data");
  options.record_bytes = 1000;
  EXPECT_THROW(run_disk_benchmark(disk, options), Error) << "not whole blocks";
  options = small("data");
  options.file_bytes = 1024;
  EXPECT_THROW(run_disk_benchmark(disk, options), Error);
}

}  // namespace
}  // namespace mneme::io
