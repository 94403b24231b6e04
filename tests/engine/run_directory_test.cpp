// Promise 9 for run directories, and what can be seen of a run from outside.
#include "engine/run_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "engine/preflight.h"
#include "engine/run_claim.h"
#include "engine/run_config_file.h"
#include "engine/run_files.h"
#include "io/error.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

using mneme::testing::error_of;

namespace fs = std::filesystem;
using testing::TinyRun;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void put(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// Every file below a folder and its content.
std::map<std::string, std::string> content_of(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().string()] = text_of(entry.path());
  }
  return files;
}

class RunDirectoryTest : public ::testing::Test {
 protected:
  // Trains until `steps` steps are done.
  void train_until(const Config& config, std::uint64_t steps, bool resume = false) {
    TrainerOptions options;
    options.resume = resume;
    std::uint64_t done = 0;
    options.on_step = [&](const StepMetrics& metrics) { done = metrics.step; };
    options.stop_requested = [&] { return done >= steps; };
    run_.train(config, options);
  }
  // A run whose process ended before its first checkpoint.
  void crash_before_the_first_checkpoint(const Config& config) {
    TrainerOptions options;
    options.on_step = [](const StepMetrics& metrics) {
      if (metrics.step == 4) throw io::Error("the lights went out");
    };
    EXPECT_EQ(error_of([&] { run_.train(config, options); }), "the lights went out");
  }

  TinyRun run_;
};

TEST_F(RunDirectoryTest, TrainingRefusesWhatItHasNotMadeUnderTheNamesItNeeds) {
  const std::vector<std::string> names = {"config.toml",
                                          "metrics.jsonl",
                                          "LOCK",
                                          "checkpoints",
                                          "rows",
                                          "checkpoints/model.pt",
                                          "checkpoints/old/x",
                                          "checkpoints/manifest.json.mneme-partial",
                                          "checkpoints/dense-0000000002.safetensors",
                                          "checkpoints/LOCK",
                                          "rows/table-0.rows",
                                          "rows/data.csv"};
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const Config config = run_.tiered("dir-" + std::to_string(&name - names.data()));
    const std::string path = config.run.directory + "/" + name;
    put(path, "mine");
    const std::string error = error_of([&] { run_.train(config); });
    EXPECT_NE(error.find(config.run.directory), std::string::npos) << error;
    EXPECT_EQ(text_of(path), "mine");
    EXPECT_FALSE(fs::exists(config.run.directory + "/metrics.jsonl") && name != "metrics.jsonl");
  }
}

TEST_F(RunDirectoryTest, AnotherConfigTomlIsNotReplaced) {
  const Config config = run_.tiered("run");
  // A person's own file, also one that was copied from a run and changed.
  train_until(config, 1);
  std::string copy = text_of(config.run.directory + "/config.toml");
  copy.replace(copy.find("steps = 8"), 9, "steps = 9");
  for (const std::string& text : {std::string("# my notes\n") + to_toml(config), copy}) {
    const Config other = run_.tiered("other");
    put(other.run.directory + "/config.toml", text);
    EXPECT_NE(error_of([&] { run_.train(other); }).find("config.toml"), std::string::npos);
    EXPECT_EQ(text_of(other.run.directory + "/config.toml"), text);
    EXPECT_FALSE(fs::exists(other.run.directory + "/LOCK")) << "nothing was made there";
  }
}

TEST_F(RunDirectoryTest, OtherFilesBesideARunAreNoHindranceAndStay) {
  const Config config = run_.tiered("run");
  put(config.run.directory + "/notes.md", "mine");
  put(config.run.directory + "/plots/loss.png", "mine");
  run_.train(config);
  EXPECT_EQ(text_of(config.run.directory + "/notes.md"), "mine");
  EXPECT_EQ(text_of(config.run.directory + "/plots/loss.png"), "mine");
}

TEST_F(RunDirectoryTest, WhatComesBesideCheckpointsLaterStays) {
  Config config = run_.tiered("run");
  config.checkpoint.every = 1;
  config.checkpoint.keep = 1;
  train_until(config, 3);
  const std::string checkpoints = checkpoints_directory(config.run.directory);
  const std::string rows = rows_directory(config.run.directory);
  put(checkpoints + "/notes.txt", "mine");
  put(checkpoints + "/dense-0000000005.safetensors", "mine");
  put(checkpoints + "/old/dense-0000000003.safetensors", "mine");
  fs::copy(RunDirectory(run_.disk(), config.run.directory).manifest_file(),
           checkpoints + "/manifest.json.bak");
  put(rows + "/copy-of-table-0.rows", "mine");
  train_until(config, 99, /*resume=*/true);
  for (const std::string name :
       {"notes.txt", "dense-0000000005.safetensors", "old/dense-0000000003.safetensors"}) {
    EXPECT_EQ(text_of(checkpoints + "/" + name), "mine") << name;
  }
  EXPECT_TRUE(fs::exists(checkpoints + "/manifest.json.bak"));
  EXPECT_EQ(text_of(rows + "/copy-of-table-0.rows"), "mine");
  Config whole = config;
  whole.run.directory = run_.path("uninterrupted");
  run_.train(whole);
  expect_same(run_.outcome(config), run_.outcome(whole));
}

TEST_F(RunDirectoryTest, ARunThatNeverCameToACheckpointIsStartedAfresh) {
  const Config config = run_.tiered("run");
  crash_before_the_first_checkpoint(config);
  put(checkpoints_directory(config.run.directory) + "/dense-0000000003.safetensors.mneme-partial",
      "torn");
  run_.train(config);
  Config whole = config;
  whole.run.directory = run_.path("uninterrupted");
  run_.train(whole);
  expect_same(run_.outcome(config), run_.outcome(whole));
}

TEST_F(RunDirectoryTest, SuchARunIsNotStartedOverAnothersRows) {
  const Config config = run_.tiered("run");
  crash_before_the_first_checkpoint(config);
  const Config other = run_.tiered("other");
  train_until(other, 3);
  fs::remove_all(rows_directory(config.run.directory));
  fs::create_symlink(rows_directory(other.run.directory), rows_directory(config.run.directory));
  const auto before = content_of(other.run.directory);
  EXPECT_NE(error_of([&] { run_.train(config); }).find("table-0.rows"), std::string::npos);
  EXPECT_EQ(content_of(other.run.directory), before);
}

TEST_F(RunDirectoryTest, TwoRunsCannotShareTheirRowsOrCheckpointsByALink) {
  for (const std::string& folder : {std::string("rows"), std::string("checkpoints")}) {
    SCOPED_TRACE(folder);
    // Before there is anything in it: by the lock. Afterwards: by what is there.
    const Config first = run_.tiered("first-" + folder);
    const Config second = run_.tiered("second-" + folder);
    fs::create_directories(second.run.directory);
    fs::create_directories(first.run.directory + "/" + folder);
    fs::create_symlink(first.run.directory + "/" + folder, second.run.directory + "/" + folder);
    std::string while_running;
    TrainerOptions options;
    options.on_step = [&](const StepMetrics& metrics) {
      if (metrics.step == 1) while_running = error_of([&] { run_.train(second); });
    };
    run_.train(first, options);
    EXPECT_NE(while_running, "");
    const auto before = content_of(first.run.directory);
    EXPECT_NE(error_of([&] { run_.train(second); }), "");
    EXPECT_EQ(content_of(first.run.directory), before);
  }
}

TEST_F(RunDirectoryTest, IsVerifiedAndInspectedBesideARunningTraining) {
  for (const bool behind : {false, true}) {
    Config config = run_.tiered(behind ? "behind" : "run");
    config.checkpoint.every = 1;
    config.checkpoint.background = behind;
    TrainerOptions options;
    std::size_t verified = 0;
    options.on_step = [&](const StepMetrics& metrics) {
      if (metrics.step < 3) return;
      // That of the last step may still be under way.
      const std::size_t found = verify_run(run_.disk(), config.run.directory).checkpoints;
      const std::size_t least = std::min<std::size_t>(metrics.step - (behind ? 2 : 1), 2);
      EXPECT_GE(found, least);
      EXPECT_LE(found, 2u);
      ++verified;
    };
    run_.train(config, options);
    EXPECT_EQ(verified, std::size_t(TinyRun::kSteps - 2));
  }
}

TEST_F(RunDirectoryTest, ASaveWhileACheckpointIsReadIsNoDamage) {
  Config config = run_.tiered("run");
  config.checkpoint.every = 1;
  config.checkpoint.keep = 1;
  train_until(config, 2);
  int calls = 0;
  read_settled(run_.disk(), config.run.directory, [&](const RunDirectory& run) {
    if (++calls == 1) train_until(config, 4, /*resume=*/true);  // drops what `run` has seen
    for (const CheckpointEntry& entry : run.manifest().checkpoints) run.row_table(entry);
  });
  EXPECT_EQ(calls, 2);
}

// A reader takes records in the order of the files, past the tiers.
TEST_F(RunDirectoryTest, AReaderFindsTheValuesThatATrainerHas) {
  for (const bool several : {false, true}) {
    Config config = run_.tiered(several ? "several" : "one");
    if (several) {
      for (const char* name : {"disk-a", "disk-b", "disk-c"}) {
        fs::create_directories(run_.path(name));
        config.tiers.disk_paths.push_back(run_.path(name));
      }
    }
    run_.train(config);
    const std::vector<float> expected = run_.outcome(config).table;
    const RunDirectory directory(run_.disk(), config.run.directory);
    const ReadRun read = read_run(directory);
    std::vector<float> found(expected.size());
    int calls = 0;
    std::vector<kernels::RowId> rows(TinyRun::kRows);
    std::iota(rows.begin(), rows.end(), 0u);
    read.run->table()->read_values(read.step, rows, found, [&] { ++calls; });
    EXPECT_TRUE(testing::same_bits(found, expected));
    EXPECT_GT(calls, 0);
    // Some of them, among which are rows that nothing has changed.
    const std::vector<kernels::RowId> some = {0, 3, 100, 255};
    std::vector<float> few(some.size() * 16);
    read.run->table()->read_values(read.step, some, few);
    for (std::size_t i = 0; i < some.size(); ++i) {
      EXPECT_TRUE(std::equal(few.begin() + std::ptrdiff_t(i * 16),
                             few.begin() + std::ptrdiff_t(i * 16 + 16),
                             expected.begin() + std::ptrdiff_t(some[i] * 16)));
    }
  }
}

TEST_F(RunDirectoryTest, VerifyFindsADamagedByteOfEveryFile) {
  const Config config = run_.tiered("run");
  run_.train(config);
  const std::string rows = rows_path(config.run.directory, 0);
  fs::resize_file(rows, 4096 + 512 * 600);  // without what was reserved ahead
  ASSERT_NO_THROW(verify_run(run_.disk(), config.run.directory));
  const std::string table =
      RunDirectory(run_.disk(), config.run.directory).checkpoint().tables[0].back().name;
  for (const std::string& path :
       {config_path(config.run.directory), metrics_path(config.run.directory),
        checkpoints_directory(config.run.directory) + "/manifest.json",
        checkpoints_directory(config.run.directory) + "/" + table,
        checkpoints_directory(config.run.directory) + "/dense-0000000008.safetensors"}) {
    SCOPED_TRACE(path);
    const std::string whole = text_of(path);
    for (std::size_t at = 0; at < whole.size(); at += 1 + whole.size() / 40) {
      std::string damaged = whole;
      damaged[at] ^= 4;
      put(path, damaged);
      const std::string error = error_of([&] { verify_run(run_.disk(), config.run.directory); });
      EXPECT_NE(error.find(fs::path(path).filename().string()), std::string::npos)
          << "byte " << at << ": " << error;
    }
    put(path, whole);
  }
  ASSERT_NO_THROW(verify_run(run_.disk(), config.run.directory));
}

TEST_F(RunDirectoryTest, ADamagedConfigTomlChangesNothingAndIsWrittenAnewOnceItIsGone) {
  const Config config = run_.tiered("run");
  train_until(config, 3);
  const std::string path = config_path(config.run.directory);
  const std::string whole = text_of(path);
  std::string damaged = whole;
  damaged.replace(damaged.find("batches = 2"), 11, "batches = 3");
  for (const std::string& text : {damaged, std::string()}) {
    put(path, text);
    const RunDirectory directory(run_.disk(), config.run.directory);
    EXPECT_EQ(to_toml(directory.config()), to_toml(config));
    EXPECT_NE(directory.config_file_problem().find(path), std::string::npos);
    EXPECT_NE(error_of([&] { verify_run(run_.disk(), config.run.directory); }).find(path),
              std::string::npos);
  }
  fs::remove(path);
  train_until(config, 4, /*resume=*/true);
  EXPECT_EQ(text_of(path), whole);
  EXPECT_NO_THROW(verify_run(run_.disk(), config.run.directory));
}

TEST_F(RunDirectoryTest, RowsOfAnotherRunOfTheSameShapeAndSeedAreRefused) {
  const Config config = run_.tiered("run");
  const Config twin = run_.tiered("twin");
  train_until(config, 3);
  train_until(twin, 5);
  fs::copy_file(rows_path(twin.run.directory, 0), rows_path(config.run.directory, 0),
                fs::copy_options::overwrite_existing);
  const std::string rows = rows_path(config.run.directory, 0);
  EXPECT_NE(error_of([&] { verify_run(run_.disk(), config.run.directory); }).find(rows),
            std::string::npos);
  EXPECT_NE(error_of([&] { train_until(config, 9, true); }).find(rows), std::string::npos);
}

TEST_F(RunDirectoryTest, ACheckpointSaysWhereTheRowsWereWhenItWasSaved) {
  const Config config = run_.tiered("run");
  run_.train(config);
  const RunDirectory directory(run_.disk(), config.run.directory);
  for (const CheckpointEntry& entry : directory.manifest().checkpoints) {
    ASSERT_EQ(entry.rows.size(), 1u);
    const RowPlaces& rows = entry.rows[0];
    EXPECT_GT(rows.device, 0u);
    EXPECT_LE(rows.device, 64u);
    EXPECT_GT(rows.host, 0u);
    EXPECT_LE(rows.host, 48u);
    EXPECT_GT(rows.disk, 0u);
    EXPECT_EQ(rows.device + rows.host + rows.disk, directory.row_table(entry).entries.size());
    EXPECT_EQ(rows.device + rows.host + rows.disk + rows.untouched, TinyRun::kRows);
  }
  // Manifests from before have no such note.
  Manifest manifest = directory.manifest();
  for (CheckpointEntry& entry : manifest.checkpoints) entry.rows.clear();
  write_manifest(run_.disk(), checkpoints_directory(config.run.directory), manifest);
  EXPECT_TRUE(RunDirectory(run_.disk(), config.run.directory).checkpoint().rows.empty());
}

TEST_F(RunDirectoryTest, AStartThatFailsIsUndoneAndOneThatIsKeptStays) {
  const std::string directory = run_.path("new/run");
  {
    RunClaim claim = RunClaim::start(run_.disk(), directory);
    claim.begin(7, to_toml(run_.config("new/run")));
    put(directory + "/metrics.jsonl", "");
  }
  EXPECT_FALSE(fs::exists(run_.path("new")));
  put(directory + "/notes.md", "mine");
  { const RunClaim claim = RunClaim::start(run_.disk(), directory); }
  EXPECT_EQ(content_of(run_.path("new")).size(), 1u);
  EXPECT_FALSE(fs::exists(rows_directory(directory)));
  {
    RunClaim claim = RunClaim::start(run_.disk(), directory);
    claim.begin(7, to_toml(run_.config("new/run")));
    // What comes meanwhile is somebody's: nothing is taken away beside it.
    put(directory + "/rows/data.csv", "mine");
  }
  EXPECT_EQ(text_of(directory + "/rows/data.csv"), "mine");
  EXPECT_EQ(text_of(directory + "/notes.md"), "mine");
  fs::remove(directory + "/rows/data.csv");
  {
    RunClaim claim = RunClaim::start(run_.disk(), directory);
    claim.begin(7, to_toml(run_.config("new/run")));
    claim.keep();
  }
  EXPECT_TRUE(fs::exists(config_path(directory)));
  // Over what a run without a checkpoint has left.
  { const RunClaim claim = RunClaim::start(run_.disk(), directory); }
  EXPECT_TRUE(fs::exists(config_path(directory)));
  EXPECT_TRUE(fs::exists(directory + "/LOCK"));
}

TEST_F(RunDirectoryTest, WhatAStartThatWasKilledHasTriedToWriteIsNoHindrance) {
  const Config config = run_.tiered("run");
  for (const std::string name : {"checkpoints", "rows"}) {
    put(config.run.directory + "/" + name + "/probe.mneme-partial", "");
  }
  run_.train(config);
  EXPECT_FALSE(fs::exists(config.run.directory + "/rows/probe.mneme-partial"));
}

TEST_F(RunDirectoryTest, TiersThatTheMachineHasNoMemoryForAreRefusedWithTheirKeys) {
  Config config = run_.config("run");
  config.tiers.store.device_bytes = TinyRun::device_bytes(64);
  config.tiers.store.host_bytes = TinyRun::host_bytes(64);
  const std::uint64_t device = config.tiers.store.device_bytes,
                      host = config.tiers.store.host_bytes;
  EXPECT_NO_THROW(check_tier_memory(config, false, device + host));
  const std::string both = error_of([&] { check_tier_memory(config, false, (device + host) / 2); });
  EXPECT_NE(both.find("tiers.device_bytes"), std::string::npos) << both;
  EXPECT_NE(both.find("tiers.host_bytes"), std::string::npos) << both;
  // A device with memory of its own takes none of the machine's.
  EXPECT_NO_THROW(check_tier_memory(config, true, host));
  Config behind = config;
  behind.checkpoint.every = 10;
  behind.checkpoint.copy_bytes = host / 4;
  EXPECT_NE(error_of([&] { check_tier_memory(behind, true, host); }).find("checkpoint.copy_bytes"),
            std::string::npos);
  EXPECT_NO_THROW(check_tier_memory(behind, true, host + host / 4));
  behind.checkpoint.background = false;
  EXPECT_NO_THROW(check_tier_memory(behind, true, host));
  const std::string one = error_of([&] { check_tier_memory(config, true, host / 2); });
  EXPECT_EQ(one.find("tiers.device_bytes"), std::string::npos) << one;
  // A budget takes no more than the whole table.
  config.tiers.store.device_bytes = std::uint64_t{1} << 50;
  config.tiers.store.host_bytes = 0;
  EXPECT_NO_THROW(check_tier_memory(config, false, 1 << 20));
}

TEST_F(RunDirectoryTest, ARunThatMayOnlyBeReadIsReadWithoutAWrite) {
  const Config config = run_.tiered("run");
  run_.train(config);
  const auto expected = run_.outcome(config);
  const auto before = content_of(config.run.directory);
  {
    const RunClaim claim = RunClaim::read(run_.disk(), config.run.directory);
    const RunClaim other = RunClaim::read(run_.disk(), config.run.directory);
    const ReadRun read = read_run(RunDirectory(run_.disk(), config.run.directory));
    std::vector<float> table(expected.table.size());
    read.run->table()->read_values(read.step, 0, TinyRun::kRows, table);
    EXPECT_TRUE(testing::same_bits(table, expected.table));
    EXPECT_NE(error_of([&] { RunClaim::resume(run_.disk(), config.run.directory); }), "")
        << "not while somebody reads it";
  }
  EXPECT_EQ(content_of(config.run.directory), before);
}

TEST_F(RunDirectoryTest, ARunIsReadWithLessMemoryThanItWasTrainedWith) {
  Config config = run_.tiered("run");
  run_.train(config);
  // As of a machine with far more memory and another device.
  RunDirectory directory(run_.disk(), config.run.directory);
  Manifest manifest = directory.manifest();
  Config recorded = directory.config();
  recorded.tiers.store.host_bytes = std::uint64_t{1} << 50;
  recorded.tiers.store.device_bytes = std::uint64_t{1} << 50;
  recorded.run.device = DeviceKind::kCuda;
  manifest.run.config = to_toml(recorded);
  write_manifest(run_.disk(), checkpoints_directory(config.run.directory), manifest);
  EXPECT_NO_THROW(verify_run(run_.disk(), config.run.directory));
  const ReadRun read = read_run(RunDirectory(run_.disk(), config.run.directory));
  EXPECT_EQ(read.step, std::uint64_t(TinyRun::kSteps));
}

}  // namespace
}  // namespace mneme::engine
