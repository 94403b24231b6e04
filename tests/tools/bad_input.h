// A tiny run, the program, and what the program must say when something is wrong with either: one
// line, the right exit status, and no harm to what was committed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "engine/run_files.h"
#include "tests/engine/tiny_run.h"
#include "tests/tools/program.h"

namespace mneme::test {

namespace fs = std::filesystem;
using engine::Config;
using Words = std::vector<std::string>;

inline void put(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

class BadInput : public ::testing::Test {
 protected:
  BadInput() : folder_(run_.path("")), config_(run_.tiered("run")) {
    config_.checkpoint.every = 2;
    write_config();
  }

  void write_config() { put(file(), engine::to_toml(config_)); }
  std::string file() const { return run_.path("run.toml"); }
  std::string directory() const { return config_.run.directory; }
  std::string checkpoint(const std::string& name) const {
    return engine::checkpoints_directory(directory()) + "/" + name;
  }
  std::string newest_dense() {
    return checkpoint(
        engine::read_manifest(run_.disk(), checkpoint("")).checkpoints.back().dense.name);
  }
  std::string rows() const { return engine::rows_path(directory(), 0); }

  Finished run(const Words& words, const Words& settings = {}) {
    return Program(folder_, mneme(words), settings).wait();
  }

  // One line of error and no other output; progress before it only where the error comes in the
  // middle of the work.
  static void expect_error(const Finished& finished, int status, const Words& parts,
                           bool after_work = false) {
    EXPECT_EQ(finished.status, status) << finished.error;
    EXPECT_EQ(finished.output, "");
    const std::size_t at = finished.error.find("error: ");
    ASSERT_NE(at, std::string::npos) << finished.error;
    const std::string line = finished.error.substr(at);
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
    EXPECT_GT(line.size(), 30u) << "says too little: " << line;
    if (!after_work) {
      EXPECT_EQ(at, 0u) << finished.error;
    }
    for (const std::string& part : parts) EXPECT_NE(line.find(part), std::string::npos) << line;
  }
  void expect_refused(const Words& words, const Words& parts, int status = 1) {
    expect_error(run(words), status, parts);
  }
  void expect_set_refused(const std::string& setting, const Words& parts) {
    SCOPED_TRACE(setting);
    expect_refused({"train", file(), "--set", setting}, parts);
  }

  // Trains up to `steps` of the whole run, in this process, and stops there.
  void train_until(std::uint64_t steps) {
    engine::TrainerOptions options;
    std::uint64_t done = 0;
    options.on_step = [&](const engine::StepMetrics& metrics) { done = metrics.step; };
    options.stop_requested = [&] { return done >= steps; };
    run_.train(config_, options);
  }
  engine::testing::Outcome uninterrupted() {
    Config whole = config_;
    whole.run.directory = run_.path("uninterrupted");
    whole.tiers.store.disk_bytes = 0;
    run_.train(whole);
    return run_.outcome(whole);
  }
  // What is committed is intact, and training goes on from it to the right end.
  void expect_unharmed() {
    const Finished verified = run({"verify", directory()});
    EXPECT_EQ(verified.status, 0) << verified.error;
    const Finished resumed = run({"resume", directory(), "--set", "tiers.disk_bytes=0"});
    EXPECT_EQ(resumed.status, 0) << resumed.error;
    expect_same(run_.outcome(config_), uninterrupted());
  }
  // Damages a file of a stopped run; resuming must refuse, naming `parts`; put back, all is well.
  void expect_damage_found(const std::string& path,
                           const std::function<void(std::string& content)>& damage,
                           const Words& parts, bool after_work = false) {
    SCOPED_TRACE(path);
    const std::string whole = text_of(path);
    std::string damaged = whole;
    damage(damaged);
    ASSERT_NE(damaged, whole);
    put(path, damaged);
    expect_error(run({"resume", directory()}), 1, parts, after_work);
    expect_refused({"verify", directory()}, parts);
    EXPECT_EQ(text_of(path), damaged) << "a refused file was written";
    put(path, whole);
  }

  engine::testing::TinyRun run_;
  std::string folder_;
  Config config_;
};

}  // namespace mneme::test
