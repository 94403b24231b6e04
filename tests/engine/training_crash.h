// Crashes of a whole training run: engine::train() works on a simulated disk, and whatever a crash
// may leave of it at any boundary between operations is resumed to the end.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/manifest.h"
#include "engine/run_files.h"
#include "engine/trainer.h"
#include "tests/engine/tiny_run.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::engine::testing {

class TrainingCrash : public ::testing::Test {
 protected:
  struct Tally {
    std::size_t states = 0;
    std::size_t images = 0;  // different ones among them, each opened once
  };

  TrainingCrash() : config_(crash_config()) {
    engine::train(config_, *disk_, {});
    find_commits();
    expected_ = run_.outcome(config_, *disk_);
  }

  // From now on the crashes are those of a run that a crash has already cut off once, half-way, and
  // that was resumed.
  void crash_half_way() {
    go_on_after({disk_->operation_count() / 2, {io::CrashPolicy::Kind::kGarbage, 3}});
    ASSERT_GT(from_, 0u);
  }
  // The same of one that was cut off right before its first checkpoint, and started again.
  void crash_before_the_first_checkpoint() {
    go_on_after({may_show_.front() - 1, {io::CrashPolicy::Kind::kKeepUnsynced, 1}});
    ASSERT_EQ(from_, 0u);
  }

  // Opens what a crash leaves at every `stride`-th boundary under every policy, with `seeds` seeds
  // for those that draw at random. States whose disks look the same are opened once.
  Tally campaign(std::uint64_t seeds, std::size_t stride) {
    const std::vector<io::CrashPolicy> policies = all_policies(seeds);
    for (std::size_t boundary = 0; boundary <= disk_->operation_count(); boundary += stride) {
      for (const io::CrashPolicy& policy : policies) crashes_.push_back({boundary, policy});
    }
    std::thread other([this] { open_all(); });
    open_all();
    other.join();
    for (const std::string& problem : problems_) ADD_FAILURE() << problem;
    return {crashes_.size(), seen_.size()};
  }

  // The lines of the recorded run's metrics.
  std::vector<nlohmann::json> lines() const {
    const std::vector<std::byte> bytes = disk_->read_file(metrics_path("/run"), 1 << 26);
    std::istringstream file(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    std::vector<nlohmann::json> all;
    for (std::string line; std::getline(file, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }

 private:
  static constexpr std::uint64_t kSteps = 8;
  static constexpr std::uint64_t kCheckpointEvery = 2;

  struct Crash {
    std::size_t boundary = 0;
    io::CrashPolicy policy;
  };
  struct Image {
    std::unique_ptr<io::SimulatedDisk> disk;  // null: there are no more
    std::string name;
  };

  void go_on_after(const Crash& crash) {
    disk_ = disk_->crash_state(crash.boundary, crash.policy);
    from_ = newest_step(*disk_);
    TrainerOptions options;
    options.resume = from_ > 0;
    engine::train(config_, *disk_, options);
    find_commits();
    ASSERT_TRUE(is_same(run_.outcome(config_, *disk_), expected_));
  }

  // Few rows, some on every tier, and checkpoints of which the older are dropped.
  Config crash_config() const {
    Config config = run_.config("");
    config.run.directory = "/run";
    config.memory.half_keys = 8;
    config.memory.knn = 2;
    config.tiers.store.device_bytes = TinyRun::device_bytes(20);
    config.tiers.store.host_bytes = TinyRun::host_bytes(20);
    config.tiers.store.disk_bytes = 2 << 20;
    config.train.steps = kSteps;
    config.train.sequence = 6;
    config.train.micro_batches = 1;
    config.checkpoint.every = kCheckpointEvery;
    config.checkpoint.keep = 2;
    // Hints, victims and checkpoints behind training at once.
    config.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
    config.checkpoint.copy_bytes = 0;
    check_config(config);
    return config;
  }

  static std::vector<io::CrashPolicy> all_policies(std::uint64_t seeds) {
    using Kind = io::CrashPolicy::Kind;
    std::vector<io::CrashPolicy> policies = {{Kind::kDropUnsynced, 1}, {Kind::kKeepUnsynced, 1}};
    for (const Kind kind : {Kind::kRandomSubset, Kind::kTear, Kind::kGarbage}) {
      for (std::uint64_t seed = 1; seed <= seeds; ++seed) policies.push_back({kind, seed});
    }
    return policies;
  }

  // A checkpoint may show from the operation on that gives the manifest its name, and must from the
  // one on that makes the name durable.
  void find_commits() {
    may_show_.clear();
    must_show_.clear();
    for (std::size_t at = 0; at < disk_->operation_count(); ++at) {
      const std::string operation = disk_->describe_operation(at);
      if (operation.starts_with("rename") && operation.ends_with("/manifest.json")) {
        may_show_.push_back(at + 1);
      }
      const bool synced = operation == "sync directory " + checkpoints_directory("/run");
      if (synced && must_show_.size() < may_show_.size()) must_show_.push_back(at + 1);
    }
    EXPECT_EQ(may_show_.size(), (kSteps - from_) / kCheckpointEvery);
    EXPECT_EQ(must_show_.size(), may_show_.size());
  }

  // The step of the newest of the checkpoints that are committed from the given operations on.
  std::uint64_t newest(const std::vector<std::size_t>& operations, std::size_t boundary) const {
    const auto after = std::upper_bound(operations.begin(), operations.end(), boundary);
    return from_ + std::uint64_t(after - operations.begin()) * kCheckpointEvery;
  }

  // Works off the crashes, beside the other threads that do.
  void open_all() {
    for (Image image = next_image(); image.disk != nullptr; image = next_image()) {
      const std::string problem = find_problem(*image.disk);
      if (problem.empty()) continue;
      const std::lock_guard lock(mutex_);
      problems_.push_back(image.name + ": " + problem);
    }
  }

  // The next state that looks like none before it. All of them are checked for what they show.
  Image next_image() {
    const std::lock_guard lock(mutex_);
    while (next_ < crashes_.size() && problems_.empty()) {
      const auto& [boundary, policy] = crashes_[next_++];
      Image image{disk_->crash_state(boundary, policy), describe(boundary, policy)};
      const std::uint64_t shown = newest_step(*image.disk);
      if (shown != newest(may_show_, boundary) && shown != newest(must_show_, boundary)) {
        problems_.push_back(image.name + ": shows the checkpoint of step " + std::to_string(shown));
      }
      if (seen_.insert(image.disk->content_checksum()).second) return image;
    }
    return {};
  }

  std::string describe(std::size_t boundary, const io::CrashPolicy& policy) const {
    const std::string last = boundary > 0 ? disk_->describe_operation(boundary - 1) : "nothing";
    return fmt::format("boundary {} of {} after {}, policy {}, seed {}", boundary,
                       disk_->operation_count(), last, static_cast<int>(policy.kind), policy.seed);
  }

  // 0 without a checkpoint.
  static std::uint64_t newest_step(const io::Disk& disk) {
    const std::string directory = checkpoints_directory("/run");
    if (!manifest_exists(disk, directory)) return 0;
    return read_manifest(disk, directory).checkpoints.back().step;
  }

  // Goes on from what a crash has left, or starts anew where no checkpoint was committed.
  std::string find_problem(io::SimulatedDisk& crashed) {
    try {
      const std::uint64_t from = newest_step(crashed);
      TrainerOptions options;
      options.resume = from > 0;
      const TrainResult result = engine::train(config_, crashed, options);
      if (result.first_step != from) return fmt::format("went on from {}", result.first_step);
      if (!is_same(run_.outcome(config_, crashed), expected_)) {
        return fmt::format("another end than without a crash, from step {} on", from);
      }
      return "";
    } catch (const std::exception& error) {
      return error.what();
    }
  }

  TinyRun run_;
  Config config_;
  std::unique_ptr<io::SimulatedDisk> disk_ =
      std::make_unique<io::SimulatedDisk>(io::SimulatedDiskOptions{.seed = 9});
  std::uint64_t from_ = 0;  // the step that the recorded run goes on from
  Outcome expected_;
  std::vector<std::size_t> may_show_;
  std::vector<std::size_t> must_show_;
  std::vector<Crash> crashes_;

  std::mutex mutex_;  // guards what follows
  std::size_t next_ = 0;
  std::set<std::uint64_t> seen_;  // checksums of the images
  std::vector<std::string> problems_;
};

}  // namespace mneme::engine::testing
