// Checkpoints: keep = N, compaction of delta chains, other configurations, damaged files.
#include "engine/checkpoint.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/row_table_file.h"
#include "io/error.h"
#include "tests/engine/checkpoint_run.h"
#include "tests/support/error_of.h"
#include "tests/support/test_backend.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;

using testing::CheckpointRun;
using testing::SavedState;

class CheckpointTest : public ::testing::Test {
 protected:
  void train(std::uint64_t steps) {
    CheckpointRun run(backend_, disk_, 3);
    for (std::uint64_t step = 1; step <= steps; ++step) {
      run.step(step);
      run.save(step);
    }
    last_ = run.state(steps);
  }

  void replace_in_manifest(const std::string& from, const std::string& to) {
    const std::string path = "/run/checkpoints/manifest.json";
    const auto bytes = disk_.read_file(path, 1 << 20);
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, from.size(), to);
    disk_.write_file(path, std::as_bytes(std::span(text)));
  }

  std::string load_error() {
    return error_of([&] {
      CheckpointRun run(backend_, disk_, 3);
      run.load();
      run.state(0);
    });
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  io::SimulatedDisk disk_{{.record_log = false}};
  SavedState last_;
};

TEST_F(CheckpointTest, KeepsTheNewestAndRemovesTheFilesOfTheRest) {
  train(6);
  const Manifest manifest = read_manifest(disk_, "/run/checkpoints");
  ASSERT_EQ(manifest.checkpoints.size(), 2u);
  EXPECT_EQ(manifest.checkpoints[0].step, 5u);
  EXPECT_EQ(manifest.checkpoints[1].step, 6u);
  std::size_t dense = 0;
  for (const std::string& name : disk_.list("/run/checkpoints")) {
    dense += name.rfind("dense-", 0) == 0 ? 1 : 0;
  }
  EXPECT_EQ(dense, 2u);
}

TEST_F(CheckpointTest, AnOlderKeptCheckpointCanBeRead) {
  SavedState fifth;
  {
    CheckpointRun run(backend_, disk_, 3);
    for (std::uint64_t step = 1; step <= 6; ++step) {
      run.step(step);
      if (step == 5) fifth = run.state(5);
      run.save(step);
    }
  }
  CheckpointRun run(backend_, disk_, 3);
  EXPECT_EQ(run.load(5), 5u);
  EXPECT_EQ(run.state(5).records, fifth.records);
  EXPECT_EQ(run.state(5).dense, fifth.dense);
  CheckpointRun other(backend_, disk_, 3);
  EXPECT_NE(error_of([&] { other.load(2); }).find("5, 6"), std::string::npos);
}

TEST_F(CheckpointTest, ChainsOfDeltasStayShortAndTheirSizeFollowsTheRows) {
  train(60);
  const Manifest manifest = read_manifest(disk_, "/run/checkpoints");
  std::uint64_t bytes = 0;
  for (const NamedFile& file : manifest.checkpoints.back().tables[0]) {
    bytes += disk_.read_file("/run/checkpoints/" + file.name, 1 << 20).size();
  }
  EXPECT_LE(bytes, 4 * CheckpointRun::kRows * kRowTableEntryBytes);
  CheckpointRun run(backend_, disk_, 3);
  EXPECT_EQ(run.load(), 60u);
  EXPECT_EQ(run.state(60).records, last_.records);
}

TEST_F(CheckpointTest, AHandEditedManifestIsRefused) {
  train(2);
  replace_in_manifest("\"step\": 2", "\"step\": 3");
  EXPECT_NE(load_error().find("checksum"), std::string::npos);
}

TEST_F(CheckpointTest, AFileOfAnotherRunIsNotTakenForItsOwn) {
  // The same shape, the same names, other rows: only the manifest can tell the tables apart.
  io::SimulatedDisk other({.record_log = false});
  {
    CheckpointRun run(backend_, other, 4);
    for (std::uint64_t step = 1; step <= 2; ++step) {
      run.step(step + 7);
      run.save(step);
    }
  }
  train(2);
  const CheckpointEntry newest = read_manifest(disk_, "/run/checkpoints").checkpoints.back();
  const CheckpointEntry theirs = read_manifest(other, "/run/checkpoints").checkpoints.back();
  const auto expect_found = [&](const std::string& name, const std::string& their_name) {
    SCOPED_TRACE(name + " from " + their_name);
    const std::string path = "/run/checkpoints/" + name;
    const auto own = disk_.read_file(path, 1 << 20);
    disk_.write_file(path, other.read_file("/run/checkpoints/" + their_name, 1 << 20));
    EXPECT_NE(load_error().find(name), std::string::npos);
    disk_.write_file(path, own);
  };
  expect_found(newest.dense.name, theirs.dense.name);
  expect_found(newest.tables[0].front().name, theirs.tables[0].front().name);
  expect_found(newest.tables[0].back().name, theirs.tables[0].back().name);
}

TEST_F(CheckpointTest, ADamagedFileOfAnotherCheckpointHarmsNoOtherOne) {
  // Two bases: each checkpoint has row tables of its own.
  SavedState second;
  {
    CheckpointRun run(backend_, disk_, 3);
    run.step(1);
    run.save(1);
    for (std::uint64_t step = 2; step <= 5; ++step) run.step(step);
    run.save(5);
    second = run.state(5);
  }
  const Manifest manifest = read_manifest(disk_, "/run/checkpoints");
  ASSERT_EQ(manifest.checkpoints.size(), 2u);
  const std::string first_table = manifest.checkpoints[0].tables[0].back().name;
  ASSERT_NE(manifest.checkpoints[1].tables[0].front().name, first_table) << "they share no file";
  disk_.corrupt("/run/checkpoints/" + first_table, 45, 3);
  CheckpointRun run(backend_, disk_, 3);
  EXPECT_EQ(run.load(), 5u);
  EXPECT_EQ(run.state(5).records, second.records);
  run.step(6);
  run.save(6);
  const Manifest later = read_manifest(disk_, "/run/checkpoints");
  ASSERT_EQ(later.checkpoints.size(), 2u) << "the damaged one is dropped";
  EXPECT_EQ(later.checkpoints[0].step, 5u);
  CheckpointRun again(backend_, disk_, 3);
  EXPECT_EQ(again.load(5), 5u);
  EXPECT_EQ(again.state(5).records, second.records);
}

TEST_F(CheckpointTest, GoingBackToAnOlderOneKeepsTheNewerUntilTheNextSave) {
  SavedState newer, older;
  {
    CheckpointRun run(backend_, disk_, 3);
    for (std::uint64_t step = 1; step <= 6; ++step) {
      run.step(step);
      if (step == 3) older = run.state(3);
      if (step % 3 == 0) run.save(step);
    }
    newer = run.state(6);
  }
  {
    CheckpointRun back(backend_, disk_, 3);
    EXPECT_EQ(back.load(3), 3u);
    for (std::uint64_t step = 4; step <= 9; ++step)
      back.step(step);  // writes many rows, saves none
  }
  {
    CheckpointRun run(backend_, disk_, 3);
    EXPECT_EQ(run.load(), 6u);
    EXPECT_EQ(run.state(6).records, newer.records) << "not committed away before a save";
  }
  CheckpointRun back(backend_, disk_, 3);
  EXPECT_EQ(back.load(3), 3u);
  EXPECT_EQ(back.state(3).records, older.records);
  back.step(4);
  const SavedState fourth = back.state(4);
  back.save(4);
  const Manifest manifest = read_manifest(disk_, "/run/checkpoints");
  ASSERT_EQ(manifest.checkpoints.size(), 2u);
  EXPECT_EQ(manifest.checkpoints[1].step, 4u);
  for (const std::string& name : disk_.list("/run/checkpoints")) {
    EXPECT_EQ(name.find("0000000006"), std::string::npos) << "of the checkpoint that was given up";
  }
  CheckpointRun again(backend_, disk_, 3);
  EXPECT_EQ(again.load(), 4u);
  EXPECT_EQ(again.state(4).records, fourth.records);
}

TEST_F(CheckpointTest, WhatItHasNotWrittenStaysAndIsNotReplaced) {
  const std::vector<std::byte> mine(4, std::byte{'m'});
  const std::vector<std::string> names = {
      "notes.txt", "model.pt", "dense-0000000002.safetensors.bak", "dense-0000000003.safetensors",
      "table-0-0000000002.rows-table"};
  disk_.make_directories("/run/checkpoints/old");
  for (const std::string& name : names) disk_.write_file("/run/checkpoints/" + name, mine);
  train(6);
  for (const std::string& name : names) {
    ASSERT_TRUE(disk_.exists("/run/checkpoints/" + name)) << name;
    EXPECT_EQ(disk_.read_file("/run/checkpoints/" + name, 1 << 20), mine) << name;
  }
  EXPECT_TRUE(disk_.exists("/run/checkpoints/old"));
  CheckpointRun run(backend_, disk_, 3);
  EXPECT_EQ(run.load(), 6u);
}

TEST_F(CheckpointTest, WhatAnInterruptedSaveLeftGoesWithTheNext) {
  train(2);
  const std::string dense = read_manifest(disk_, "/run/checkpoints").checkpoints.back().dense.name;
  const auto content = disk_.read_file("/run/checkpoints/" + dense, 1 << 20);
  const std::vector<std::string> left = {"dense-0000000009.safetensors",
                                         "dense-0000000009.safetensors.mneme-partial",
                                         "manifest.json.mneme-partial"};
  for (const std::string& name : left) disk_.write_file("/run/checkpoints/" + name, content);
  CheckpointRun run(backend_, disk_, 3);
  run.load();
  run.step(3);
  run.save(3);
  for (const std::string& name : left) {
    EXPECT_FALSE(disk_.exists("/run/checkpoints/" + name)) << name;
  }
}

TEST_F(CheckpointTest, TruncatedFilesAreErrorsThatNameThem) {
  train(2);
  const Manifest manifest = read_manifest(disk_, "/run/checkpoints");
  const std::string table = manifest.checkpoints.back().tables[0].back().name;
  const std::string dense = manifest.checkpoints.back().dense.name;
  for (const std::string& name : {std::string("manifest.json"), table, dense}) {
    const std::string path = "/run/checkpoints/" + name;
    const auto whole = disk_.read_file(path, 1 << 20);
    for (const std::size_t keep :
         {std::size_t{0}, std::size_t{7}, whole.size() / 2, whole.size() - 2}) {
      disk_.write_file(path, std::span(whole).first(keep));
      SCOPED_TRACE(::testing::Message() << name << " cut to " << keep);
      EXPECT_NE(load_error().find(name), std::string::npos);
    }
    disk_.write_file(path, whole);
  }
  CheckpointRun run(backend_, disk_, 3);
  EXPECT_EQ(run.load(), 2u);
}

TEST_F(CheckpointTest, AMissingFileIsAnErrorThatNamesItAndAWayOut) {
  train(2);
  for (const std::string& name :
       read_manifest(disk_, "/run/checkpoints").checkpoints.back().files()) {
    const std::string path = "/run/checkpoints/" + name;
    const auto whole = disk_.read_file(path, 1 << 20);
    disk_.remove(path);
    const std::string error = load_error();
    EXPECT_NE(error.find(path), std::string::npos) << error;
    EXPECT_NE(error.find("--step"), std::string::npos) << error;
    disk_.write_file(path, whole);
  }
}

TEST_F(CheckpointTest, AFlippedBitInADenseTensorIsFound) {
  train(2);
  const std::string dense = read_manifest(disk_, "/run/checkpoints").checkpoints.back().dense.name;
  const auto bytes = disk_.read_file("/run/checkpoints/" + dense, 1 << 20).size();
  disk_.corrupt("/run/checkpoints/" + dense, bytes - 5, 2);
  EXPECT_NE(load_error().find(dense), std::string::npos);
}

TEST_F(CheckpointTest, AStepSavedAgainOverwritesNothingThatTheManifestNames) {
  CheckpointRun run(backend_, disk_, 3);
  run.step(1);
  run.save(1);
  const CheckpointEntry first = read_manifest(disk_, "/run/checkpoints").checkpoints.back();
  run.save(1);
  const Manifest manifest = read_manifest(disk_, "/run/checkpoints");
  ASSERT_EQ(manifest.checkpoints.size(), 1u);
  EXPECT_NE(manifest.checkpoints[0].dense.name, first.dense.name);
  EXPECT_NE(manifest.checkpoints[0].tables[0].back().name, first.tables[0].back().name);
  CheckpointRun again(backend_, disk_, 3);
  EXPECT_EQ(again.load(), 1u);
}

TEST_F(CheckpointTest, AfterAFailedSaveNoOtherIsWritten) {
  SavedState committed;
  {
    CheckpointRun run(backend_, disk_, 3);
    run.step(1);
    committed = run.state(1);
    run.save(1);
    run.step(2);
    disk_.set_faults({.fail_sync = 2});
    EXPECT_FALSE(error_of([&] { run.save(2); }).empty());
    disk_.set_faults({});
    EXPECT_NE(error_of([&] { run.save(2); }).find("resume"), std::string::npos);
  }
  CheckpointRun run(backend_, disk_, 3);
  EXPECT_EQ(run.load(), 1u);
  EXPECT_EQ(run.state(1).records, committed.records);
}

TEST_F(CheckpointTest, OneBehindTrainingThatFailsIsNeverTakenForSaved) {
  for (const std::uint64_t sync : {1u, 2u, 3u}) {
    io::SimulatedDisk disk({.record_log = false});
    CheckpointRun run(backend_, disk, 3);
    run.step(1);
    run.save(1);
    run.step(2);
    disk.set_faults({.fail_sync = sync});
    run.begin(2);
    EXPECT_TRUE(run.checkpoints().is_saving());
    EXPECT_FALSE(error_of([&] { run.checkpoints().finish(); }).empty());
    disk.set_faults({});
    EXPECT_FALSE(run.checkpoints().is_saving());
    EXPECT_NE(error_of([&] { run.checkpoints().finish(); }).find("resume"), std::string::npos);
    EXPECT_NE(error_of([&] { run.checkpoints().poll(); }).find("resume"), std::string::npos);
    EXPECT_NE(error_of([&] { run.begin(3); }).find("resume"), std::string::npos);
    CheckpointRun again(backend_, disk, 3);
    EXPECT_EQ(again.load(), 1u);
  }
}

TEST_F(CheckpointTest, OneThatIsGivenUpIsNotThere) {
  CheckpointRun first(backend_, disk_, 3);
  first.step(1);
  first.save(1);
  {
    CheckpointRun run(backend_, disk_, 3);
    run.load();
    run.step(2);
    run.begin(2);
  }
  CheckpointRun run(backend_, disk_, 3);
  EXPECT_EQ(run.load(), 1u);
}

TEST_F(CheckpointTest, AFullDiskAtASaveHarmsNoEarlierCheckpoint) {
  std::uint64_t failures = 0;
  for (std::uint64_t capacity = 4096; capacity < 120000; capacity += 1777) {
    io::SimulatedDisk disk({.record_log = false});
    std::optional<SavedState> committed;
    try {
      CheckpointRun run(backend_, disk, 3);
      for (std::uint64_t step = 1; step <= 12; ++step) {
        if (step == 4) disk.set_faults({.capacity_bytes = capacity});
        run.step(step);
        SavedState state = run.state(step);
        run.save(step);
        committed = state;
      }
    } catch (const io::Error&) {
      ++failures;
    }
    disk.set_faults({});
    ASSERT_TRUE(committed);
    CheckpointRun run(backend_, disk, 3);
    ASSERT_EQ(run.load(), committed->step) << "capacity " << capacity;
    EXPECT_EQ(run.state(0).records, committed->records);
  }
  EXPECT_GT(failures, 3u);
}

}  // namespace
}  // namespace mneme::engine
