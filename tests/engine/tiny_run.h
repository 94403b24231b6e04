// A training run of a few steps on a few kilobytes of text, and everything that it leaves behind.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/config.h"
#include "engine/run.h"
#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "engine/trainer.h"
#include "io/disk.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/test_backend.h"

namespace mneme::engine::testing {

// What training must reproduce bit for bit.
struct Outcome {
  std::vector<std::pair<std::uint64_t, double>> losses;  // (step, loss), in the order written
  std::vector<float> table;                              // every row, touched or not
  std::map<std::string, std::vector<float>> dense;       // values and moments by name
};

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Whether they have the same bits, like expect_same() below, for threads that report by themselves.
inline bool is_same(const Outcome& found, const Outcome& expected) {
  return found.losses == expected.losses && same_bits(found.table, expected.table) &&
         std::ranges::equal(found.dense, expected.dense, [](const auto& a, const auto& b) {
           return a.first == b.first && same_bits(a.second, b.second);
         });
}

void expect_same(const Outcome& found, const Outcome& expected);

// The steps and losses of metrics.jsonl, in the order in which they stand there.
std::vector<std::pair<std::uint64_t, double>> read_losses(const io::Disk& disk,
                                                          const std::string& directory);
std::vector<std::pair<std::uint64_t, double>> read_losses(const std::string& directory);

class TinyRun {
 public:
  static constexpr std::uint64_t kRows = 16 * 16;
  static constexpr std::int64_t kSteps = 8;
  // Budget of the device tier for so many rows of training and the same for evaluation: a slot
  // holds a value of 16 floats, two moments, its step, their lag and bookkeeping.
  static std::uint64_t device_bytes(std::uint64_t slots) { return 2 * slots * (3 * 64 + 8 + 35); }
  static std::uint64_t host_bytes(std::uint64_t slots) { return slots * 256; }

  TinyRun();

  std::string data_path() const { return directory_.file("text.txt"); }
  std::string path(const std::string& name) const { return directory_.file(name); }
  io::Disk& disk() { return *disk_; }

  // A Memory+ model whose rows all fit the device tier.
  Config config(const std::string& name) const;
  // The same with all three tiers in use: 64 device rows, 48 host rows, the rest on disk.
  Config tiered(const std::string& name) const;

  TrainResult train(const Config& config, TrainerOptions options = {});
  // The same, asked to stop after step `steps`.
  TrainResult train_until(const Config& config, std::uint64_t steps, TrainerOptions options = {});

  // What the newest checkpoint of a run, or that of a step, holds, read with everything on the
  // device.
  Outcome outcome(const Config& config) { return outcome(config, *disk_); }
  Outcome outcome(const Config& config, io::Disk& disk, std::optional<std::uint64_t> of = {});

 private:
  test::TemporaryDirectory directory_;
  std::unique_ptr<io::Disk> disk_ = io::make_posix_disk();
};

}  // namespace mneme::engine::testing
