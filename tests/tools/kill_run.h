// Trains with the built program, kills it as `kill -9` does, resumes, and compares the end with a
// run that nobody killed.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/run_files.h"
#include "tests/engine/tiny_run.h"
#include "tests/tools/kill_points.h"
#include "tests/tools/program.h"

namespace mneme::test {

// Where a run is killed: at a passing of a point of kill_points.h, or after a delay.
struct Kill {
  std::string point;  // empty: after delay_us
  std::uint64_t passing = 1;
  std::int64_t delay_us = 0;
};

class KillRun : public ::testing::Test {
 protected:
  // kinds: of the model's blocks, as in model.feed_forward.
  explicit KillRun(const char* kinds = "memory@1,2") : kinds_(engine::BlockKinds::parse(kinds)) {
    const engine::Config config = made("expected");
    const auto start = std::chrono::steady_clock::now();
    const std::string file = run_.path("expected.toml");
    std::ofstream(file) << engine::to_toml(config);
    const Finished finished = Program(run_.path(""), mneme({"train", file})).wait();
    EXPECT_EQ(finished.status, 0) << finished.error;
    length_us_ = std::chrono::duration_cast<std::chrono::microseconds>(
                     std::chrono::steady_clock::now() - start)
                     .count();
    expected_ = run_.outcome(config);
  }

  engine::Config made(const std::string& name) const {
    engine::Config config = run_.tiered(name);
    config.model.feed_forward = kinds_;
    config.checkpoint.every = 2;
    // Hints, victims and checkpoints behind training at once.
    config.tiers.prefetch = memory::PredictorKind::kOracleNextStep;
    config.checkpoint.copy_bytes = 0;
    return config;
  }

  // Kills one run where told, each time resuming it, and lets it end. Returns which of the kills
  // struck: the others found a program that had ended by itself. A run without a checkpoint starts
  // afresh.
  std::vector<bool> struck(const std::string& name, const std::vector<Kill>& kills) {
    const engine::Config config = made(name);
    const std::string file = run_.path(name + ".toml");
    std::ofstream(file) << engine::to_toml(config);
    std::vector<bool> struck;
    for (const Kill& kill : kills) {
      SCOPED_TRACE(::testing::Message()
                   << name << ", kill " << struck.size() << " at "
                   << (kill.point.empty() ? std::to_string(kill.delay_us) + " us"
                                          : kill.point + ":" + std::to_string(kill.passing)));
      Program program(run_.path(""), words(config, file), settings_of(kill));
      if (kill.point.empty()) {
        std::this_thread::sleep_for(std::chrono::microseconds(kill.delay_us));
        program.send(SIGKILL);
      }
      const Finished finished = program.wait();
      struck.push_back(finished.status == -SIGKILL);
      if (struck.back()) {
        expect_intact(config);
      } else {
        EXPECT_EQ(finished.status, 0) << finished.error;
      }
    }
    const Finished finished = Program(run_.path(""), words(config, file)).wait();
    EXPECT_EQ(finished.status, 0) << finished.error;
    expect_same(run_.outcome(config), expected_);
    return struck;
  }

  // The same where every kill has to strike.
  void survives(const std::string& name, const std::vector<Kill>& kills) {
    EXPECT_EQ(struck(name, kills), std::vector<bool>(kills.size(), true));
  }

  std::int64_t length_us() const { return length_us_; }

 private:
  std::vector<std::string> words(const engine::Config& config, const std::string& file) {
    return committed(config) ? mneme({"resume", config.run.directory}) : mneme({"train", file});
  }
  std::vector<std::string> settings_of(const Kill& kill) const {
    if (kill.point.empty()) return {};
    Fault fault = kill_points().at(kill.point);
    fault.call = kill.passing;
    return settings(fault, run_.path("report"));
  }

  bool committed(const engine::Config& config) {
    return engine::manifest_exists(run_.disk(),
                                   engine::checkpoints_directory(config.run.directory));
  }
  // Whatever is committed verifies.
  void expect_intact(const engine::Config& config) {
    if (!committed(config)) return;
    const Finished verified =
        Program(run_.path(""), mneme({"verify", config.run.directory})).wait();
    EXPECT_EQ(verified.status, 0) << verified.error;
  }

  engine::BlockKinds kinds_;
  engine::testing::TinyRun run_;
  engine::testing::Outcome expected_;
  std::int64_t length_us_ = 0;  // of a run that nobody kills, from start to end of the program
};

}  // namespace mneme::test
