// A run directory that is in use, damaged, full, or left by a signal.
#include <sys/mount.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "io/file_lock.h"
#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

TEST_F(BadInput, ASecondProcessInADirectoryIsRefused) {
  train_until(3);
  {
    const io::FileLock held(directory());
    expect_refused({"resume", directory()}, {directory(), std::to_string(::getpid())});
  }
  expect_unharmed();
}

TEST_F(BadInput, TrainingIntoADirectoryWithARunIsRefused) {
  train_until(3);
  expect_refused({"train", file()}, {directory(), "mneme resume"});
  expect_unharmed();
}

TEST_F(BadInput, ADirectoryWithoutARunOrWithoutACheckpointIsRefused) {
  expect_refused({"resume", run_.path("nowhere")}, {"nowhere"});
  fs::create_directories(directory());
  expect_refused({"resume", directory()}, {directory(), "config.toml"});
  put(directory() + "/config.toml", engine::to_toml(config_));
  for (const char* command : {"resume", "verify", "eval", "inspect"}) {
    SCOPED_TRACE(command);
    expect_refused({command, directory()}, {directory(), "checkpoint"});
  }
}

TEST_F(BadInput, ADamagedManifestIsRefused) {
  train_until(3);
  const std::string path = checkpoint("manifest.json");
  expect_damage_found(path, [](std::string& text) { text.resize(text.size() / 2); }, {path});
  expect_damage_found(path, [](std::string& text) { text.clear(); }, {path});
  const auto edit = [](std::string& text) {
    const std::size_t at = text.find("\"step\": 3");
    ASSERT_NE(at, std::string::npos);
    text[at + 8] = '4';
  };
  expect_damage_found(path, edit, {path, "checksum"});
  expect_unharmed();
}

TEST_F(BadInput, DamagedRowsAreRefusedByFile) {
  train_until(3);
  // The space reserved ahead holds nothing and makes copies slow.
  fs::resize_file(rows(), 4 << 20);
  expect_damage_found(rows(), [](std::string& text) { text.resize(5000); }, {rows()});
  expect_damage_found(rows(), [](std::string& text) { text.resize(0); }, {rows()});
  expect_damage_found(rows(), [](std::string& text) { text[0] ^= 1; }, {rows()});
  // One bit in every record: whichever is read first is found, wherever it is read.
  const auto flip = [](std::string& text) {
    for (std::size_t at = 4096; at + 200 < text.size(); at += 512) {
      text[at + 100] ^= 4;
    }
  };
  expect_damage_found(rows(), flip, {rows(), "row ", "slot ", "damaged"}, true);
  expect_unharmed();
}

TEST_F(BadInput, DamagedDenseTensorsAreRefusedByFile) {
  train_until(3);
  const std::string path = newest_dense();
  expect_damage_found(path, [](std::string& text) { text.resize(text.size() - 3); }, {path});
  expect_damage_found(path, [](std::string& text) { text.resize(4); }, {path});
  expect_damage_found(path, [](std::string& text) { text[text.size() - 9] ^= 1; }, {path});
  expect_unharmed();
}

TEST_F(BadInput, ASignalStopsAfterACheckpoint) {
  config_.train.schedule = engine::ScheduleKind::kConstant;
  config_.train.steps = 1000000;
  write_config();
  for (const int signal : {SIGINT, SIGTERM}) {
    SCOPED_TRACE(signal == SIGINT ? "SIGINT" : "SIGTERM");
    const bool first = !fs::exists(directory());
    const std::size_t before = engine::testing::read_losses(directory()).size();
    Program program(folder_, first ? mneme({"train", file()}) : mneme({"resume", directory()}));
    const auto steps = [&] {
      const std::string lines = text_of(directory() + "/metrics.jsonl");
      return std::size_t(std::count(lines.begin(), lines.end(), '\n'));
    };
    for (int i = 0; i < 6000 && steps() < before + 3; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    program.send(signal);
    const Finished finished = program.wait();
    EXPECT_EQ(finished.status, 0) << finished.error;
    EXPECT_NE(finished.error.find("mneme resume"), std::string::npos) << finished.error;
  }
  const std::size_t done = engine::testing::read_losses(directory()).size();
  ASSERT_GE(done, 6u);
  config_.train.steps = std::int64_t(done) + 2;
  const Finished resumed =
      run({"resume", directory(), "--set", "train.steps=" + std::to_string(config_.train.steps)});
  EXPECT_EQ(resumed.status, 0) << resumed.error;
  expect_same(run_.outcome(config_), uninterrupted());
}

TEST_F(BadInput, ARowsFileAtItsLimitStopsTheRunAndHarmsNothing) {
  config_.tiers.store.disk_bytes = 180 << 10;
  train_until(3);
  expect_error(run({"resume", directory()}), 1, {rows(), "tiers.disk_bytes"}, true);
  expect_unharmed();
}

TEST_F(BadInput, ALimitOnFileSizesStopsTheRunAndHarmsNothing) {
  train_until(3);
  // 30 blocks of 512 bytes or 1 KiB, by shell: too little for the dense tensors in either unit.
  const std::string command =
      "ulimit -f 30; exec '" + std::string(MNEME_PROGRAM) + "' resume '" + directory() + "'";
  const Finished finished = Program(folder_, {"/bin/sh", "-c", command}).wait();
  expect_error(finished, 1, {directory()}, true);
  expect_unharmed();
}

TEST_F(BadInput, AFullDiskStopsTheRunAndHarmsNothing) {
  const std::string small = run_.path("small");
  fs::create_directory(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=8m") != 0) {
    GTEST_SKIP() << "no small file system can be mounted here: " << std::strerror(errno);
  }
  struct Unmount {
    std::string path;
    ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } unmount{small};
  config_.run.directory = small + "/run";
  train_until(3);
  const std::string ballast = small + "/ballast";
  {
    std::ofstream file(ballast, std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), std::streamsize(block.size())).flush()) continue;
  }
  expect_error(run({"resume", directory()}), 1, {small, "free some space"}, true);
  fs::remove(ballast);
  expect_unharmed();
}

}  // namespace
}  // namespace mneme::test
