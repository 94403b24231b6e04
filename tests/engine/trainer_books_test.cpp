// Promise 6, end to end: what a run writes to metrics.jsonl is all that has moved.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "io/forwarding_disk.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

using Json = nlohmann::json;
using mneme::testing::error_of;
using testing::TinyRun;

struct Transferred {
  std::uint64_t reads = 0, read_bytes = 0, writes = 0, written_bytes = 0;
};

// Counts the records that go to rows files and come from there.
class RowsDisk final : public io::ForwardingDisk {
 public:
  RowsDisk(io::Disk& inner, Transferred& seen) : ForwardingDisk(inner), seen_(seen) {}

  std::unique_ptr<io::BlockFile> open(const std::string& path,
                                      const io::OpenOptions& options) override {
    std::unique_ptr<io::BlockFile> file = inner_.open(path, options);
    if (!path.ends_with(".rows")) return file;
    return std::make_unique<File>(std::move(file), seen_);
  }

 private:
  // Of records that take one block each.
  class File final : public io::ForwardingFile {
   public:
    File(std::unique_ptr<io::BlockFile> inner, Transferred& seen)
        : ForwardingFile(std::move(inner)), seen_(seen) {}
    bool submit(const io::BlockRequest& request) override {
      const io::BlockRequest asked = request;
      if (!inner_->submit(request)) return false;
      if (asked.offset == 0) return true;  // the header
      if (asked.operation == io::BlockOperation::kRead) {
        ++seen_.reads;
        seen_.read_bytes += asked.bytes;
      } else {
        // Records that are neighbours go together.
        seen_.writes += asked.bytes / std::max(512u, inner_->alignment());
        seen_.written_bytes += asked.bytes;
      }
      return true;
    }

   private:
    Transferred& seen_;
  };

  Transferred& seen_;
};

class TrainerBooks : public ::testing::Test {
 protected:
  std::vector<Json> lines(const Config& config) {
    const std::string path = metrics_path(config.run.directory);
    const std::vector<std::byte> bytes = run_.disk().read_file(path, 1 << 26);
    std::istringstream file(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    std::vector<Json> all;
    for (std::string line; std::getline(file, line);) all.push_back(Json::parse(line));
    return all;
  }
  static std::uint64_t sum(const std::vector<Json>& lines, const std::string& field) {
    std::uint64_t all = 0;
    for (const Json& line : lines) {
      all += line["books"]["total"].at(Json::json_pointer(field)).get<std::uint64_t>();
    }
    return all;
  }
  static bool has_cause(const Json& line, const std::string& cause) {
    const Json& accounts = line["books"]["accounts"];
    return std::any_of(accounts.begin(), accounts.end(),
                       [&](const Json& account) { return account["cause"] == cause; });
  }
  void expect_all(const std::vector<Json>& lines) const {
    EXPECT_EQ(sum(lines, "/moves/device_to_disk/bytes") + sum(lines, "/moves/host_to_disk/bytes"),
              seen_.written_bytes);
    EXPECT_EQ(sum(lines, "/moves/device_to_disk/rows") + sum(lines, "/moves/host_to_disk/rows"),
              seen_.writes);
    EXPECT_EQ(sum(lines, "/moves/disk_to_device/bytes") + sum(lines, "/moves/disk_to_host/bytes"),
              seen_.read_bytes);
  }

  TinyRun run_;
  Transferred seen_;
  RowsDisk disk_{run_.disk(), seen_};
};

TEST_F(TrainerBooks, TheLinesOfARunAddUpToAllThatItsRowsFileHasSeen) {
  for (const auto& [kinds, behind] : std::vector<std::pair<std::string, bool>>{
           {"memory@1,2", false}, {"memory@1,2", true}, {"peer@1 memory@2", true}}) {
    SCOPED_TRACE(kinds + (behind ? ", behind training" : ""));
    const bool prefetch = behind;
    seen_ = {};
    Config config = run_.tiered(kinds.substr(0, 4) + (behind ? "-behind" : ""));
    config.model.feed_forward = BlockKinds::parse(kinds);
    config.checkpoint.background = behind;
    config.evaluation.every = 2;
    config.sample.every = 3;
    config.sample.tokens = 4;
    config.sample.prompt = "row";
    config.checkpoint.every = 3;
    if (prefetch) config.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
    std::ostringstream samples;
    TrainerOptions options;
    options.samples = &samples;
    train(config, disk_, options);
    const std::vector<Json> all = lines(config);
    ASSERT_EQ(all.size(), std::size_t(TinyRun::kSteps));
    ASSERT_GT(seen_.writes, 0u);
    expect_all(all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::size_t step = i + 1;
      SCOPED_TRACE(step);
      const bool last = step == all.size();
      EXPECT_TRUE(has_cause(all[i], "training"));
      EXPECT_EQ(has_cause(all[i], "evaluation"), step % 2 == 0 || last);
      EXPECT_EQ(has_cause(all[i], "sampling"), step % 3 == 0 || last);
      // A checkpoint behind training goes on in the lines of the steps that come.
      if (behind && step % 3 != 0) continue;
      EXPECT_EQ(has_cause(all[i], "checkpoint"), step % 3 == 0 || last);
      if (step % 3 == 0 || last) {
        EXPECT_GT(all[i]["time_ms"]["checkpoint"], 0);
      }
    }
  }
}

// A disk on which no dense file can be made any more.
class FullDisk final : public io::ForwardingDisk {
 public:
  using ForwardingDisk::ForwardingDisk;
  std::unique_ptr<io::BlockFile> open(const std::string& path,
                                      const io::OpenOptions& options) override {
    if (is_full && path.find("dense") != path.npos) io::fail("{}: the disk is full", path);
    return inner_.open(path, options);
  }
  bool is_full = false;
};

TEST_F(TrainerBooks, AStepWhoseCheckpointFailsHasItsLine) {
  for (const bool behind : {false, true}) {
    FullDisk disk(run_.disk());
    Config config = run_.tiered(behind ? "behind" : "run");
    config.checkpoint.every = 3;
    config.checkpoint.background = behind;
    TrainerOptions options;
    options.on_step = [&](const StepMetrics& metrics) { disk.is_full |= metrics.step == 6; };
    EXPECT_NE(error_of([&] { train(config, disk, options); }).find("the disk is full"),
              std::string::npos);
    const std::vector<Json> all = lines(config);
    ASSERT_GE(all.size(), 6u);
    if (!behind) {
      ASSERT_EQ(all.size(), 6u);
    }
    EXPECT_TRUE(has_cause(all[5], "checkpoint")) << "its rows were written";
    EXPECT_EQ(
        read_manifest(disk, checkpoints_directory(config.run.directory)).checkpoints.back().step,
        3u);
  }
}

TEST_F(TrainerBooks, StallsAreOutOfThePartsOfAStep) {
  Config config = run_.tiered("run");
  train(config, disk_, {});
  for (const Json& line : lines(config)) {
    const Json& times = line["time_ms"];
    const double stall = times["stall"];
    EXPECT_GT(stall, 0.0);
    double booked_us = 0;
    for (const Json& account : line["books"]["accounts"]) {
      if (account["cause"] != "training" || !account.contains("stall")) continue;
      for (const auto& [what, us] : account["stall"].items()) booked_us += us.get<double>();
    }
    EXPECT_LE(stall, 1e-3 * booked_us + 1e-9);
    const double parts =
        double(times["forward"]) + double(times["backward"]) + double(times["update"]) + stall;
    EXPECT_LE(parts, double(times["step"])) << "no moment counts twice";
  }
}

// Each call of `train` and `resume` has lines of its own; a stop writes its checkpoint's traffic,
// too.
TEST_F(TrainerBooks, AStoppedAndResumedRunHasThemAll) {
  Config config = run_.tiered("run");
  TrainerOptions options;
  bool stops = false;
  options.on_step = [&](const StepMetrics& metrics) { stops = metrics.step == 4; };
  options.stop_requested = [&] { return stops; };
  train(config, disk_, options);
  ASSERT_EQ(lines(config).size(), 4u);
  expect_all(lines(config));
  EXPECT_TRUE(has_cause(lines(config).back(), "checkpoint"));
  stops = false;
  options.on_step = {};
  options.resume = true;
  train(config, disk_, options);
  ASSERT_EQ(lines(config).size(), std::size_t(TinyRun::kSteps));
  expect_all(lines(config));
}

}  // namespace
}  // namespace mneme::engine
