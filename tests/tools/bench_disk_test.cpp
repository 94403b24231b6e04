// mneme bench disk measures a small file and leaves nothing behind that was not asked for.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "io/error.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {
namespace {

namespace fs = std::filesystem;

class BenchDisk : public testing::Test {
 protected:
  BenchDisk() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    // Beside the build, for the temporary folder may be one that has no direct I/O.
    options_.path = (fs::current_path() /
                     ("bench_disk_" + std::string(test->name()) + "_" + std::to_string(getpid())))
                        .string();
    options_.file_bytes = 1 << 20;
    options_.record_bytes = 4096;
    options_.depth = 4;
    options_.seconds = 0.02;
    options_.read_share = 0.5;
  }
  ~BenchDisk() override { fs::remove(options_.path); }

  BenchDiskOptions options_;
};

TEST_F(BenchDisk, PrintsOneJsonObjectAndRemovesItsFile) {
  options_.json = true;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_bench_disk(options_), 0);
  const auto result = nlohmann::json::parse(testing::internal::GetCapturedStdout());
  EXPECT_EQ(result["record_bytes"], 4096);
  EXPECT_GT(result["iops"], 0);
  EXPECT_GT(result["reads"]["transfers"], 0);
  EXPECT_GT(result["writes"]["transfers"], 0);
  EXPECT_FALSE(fs::exists(options_.path));
}

TEST_F(BenchDisk, PrintsTheRatesForPeople) {
  options_.io_engine = io::IoEngine::kSync;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_bench_disk(options_), 0);
  const std::string text = testing::internal::GetCapturedStdout();
  for (const char* part : {"read ", "write ", "total ", "records/s", "MB/s", "p99"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST_F(BenchDisk, NeverOverwritesAFileThatItWasNotTold) {
  std::ofstream(options_.path) << "precious";
  EXPECT_THROW(run_bench_disk(options_), io::Error);
  std::string content;
  std::ifstream(options_.path) >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(BenchDisk, KeepsTheFileForTheNextRunWhenAsked) {
  options_.keep = true;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_bench_disk(options_), 0);
  EXPECT_TRUE(fs::exists(options_.path));
  options_.reuse = true;
  EXPECT_EQ(run_bench_disk(options_), 0);
  testing::internal::GetCapturedStdout();
}

}  // namespace
}  // namespace mneme::tools
