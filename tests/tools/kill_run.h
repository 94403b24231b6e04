// Trains with the built program, kills it as `kill -9` does, resumes, and compares the end with a
// run that nobody killed.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/run_files.h"
#include "tests/engine/tiny_run.h"
#include "tests/tools/program.h"

namespace mneme::test {

// Where a run is killed: at a passing of a named point (io/kill_point.h), or after a delay.
struct Kill {
  std::string point;  // empty: after delay_us
  std::uint64_t passing = 1;
  std::int64_t delay_us = 0;
};

class KillRun : public ::testing::Test {
 protected:
  KillRun() {
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
    config.checkpoint.every = 2;
    return config;
  }

  // Kills one run where told, each time resuming it, and lets it end; true when every kill struck.
  // A run without a checkpoint starts afresh.
  bool survives(const std::string& name, const std::vector<Kill>& kills) {
    const engine::Config config = made(name);
    const std::string file = run_.path(name + ".toml");
    std::ofstream(file) << engine::to_toml(config);
    bool all_struck = true;
    for (std::size_t i = 0; i <= kills.size(); ++i) {
      const Kill kill = i < kills.size() ? kills[i] : Kill{.point = "none", .passing = 1};
      SCOPED_TRACE(::testing::Message() << name << ", kill " << i << " at " << kill.point << ":"
                                        << kill.passing << " or after " << kill.delay_us << " us");
      const bool committed =
          engine::manifest_exists(run_.disk(), engine::checkpoints_directory(config.run.directory));
      std::vector<std::string> settings;
      if (!kill.point.empty()) {
        settings.push_back("MNEME_KILL_AT=" + kill.point + ":" + std::to_string(kill.passing));
      }
      Program program(run_.path(""),
                      committed ? mneme({"resume", config.run.directory}) : mneme({"train", file}),
                      settings);
      if (kill.point.empty()) {
        std::this_thread::sleep_for(std::chrono::microseconds(kill.delay_us));
        program.send(SIGKILL);
      }
      const Finished finished = program.wait();
      if (finished.status == -SIGKILL) {
        (kill.point.empty() ? killed_at_random_ : killed_at_points_) += 1;
        expect_intact(config);
        continue;
      }
      EXPECT_EQ(finished.status, 0) << finished.error;
      all_struck = all_struck && i == kills.size();
    }
    expect_same(run_.outcome(config), expected_);
    return all_struck;
  }

  // Whatever is committed verifies.
  void expect_intact(const engine::Config& config) {
    if (!engine::manifest_exists(run_.disk(),
                                 engine::checkpoints_directory(config.run.directory))) {
      return;
    }
    const Finished verified =
        Program(run_.path(""), mneme({"verify", config.run.directory})).wait();
    EXPECT_EQ(verified.status, 0) << verified.error;
  }

  engine::testing::TinyRun run_;
  engine::testing::Outcome expected_;
  std::int64_t length_us_ = 0;  // of a run that nobody kills, from start to end of the program
  std::uint64_t killed_at_points_ = 0;
  std::uint64_t killed_at_random_ = 0;
};

}  // namespace mneme::test
