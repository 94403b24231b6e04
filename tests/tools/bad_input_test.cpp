// What the program says when it is given something wrong, stopped, or out of room: one line, the
// right exit status, and no harm to what was committed.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "io/file_lock.h"
#include "tests/engine/tiny_run.h"
#include "tests/tools/program.h"

namespace mneme::test {
namespace {

namespace fs = std::filesystem;
using engine::Config;
using Words = std::vector<std::string>;

void put(const std::string& path, const std::string& text) {
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
    return engine::Checkpointer::directory(directory()) + "/" + name;
  }
  std::string newest_dense() {
    return checkpoint(engine::read_manifest(run_.disk(), checkpoint("")).checkpoints.back().dense);
  }
  std::string rows() const { return engine::Checkpointer::rows_path(directory(), 0); }

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

TEST_F(BadInput, AConfigurationIsRefusedByFileLineAndKey) {
  put(file(), "[model]\nwidth = 64\ndepth = 3\n");
  expect_refused({"train", file()}, {file() + ":3", "model.depth"});
  put(file(), "[model]\nwidth = \"wide\"\n");
  expect_refused({"train", file()}, {file() + ":2", "model.width"});
  put(file(), "[model\n");
  expect_refused({"train", file()}, {file()});
  expect_refused({"train", run_.path("none.toml")}, {"none.toml"});
  expect_refused({"train", folder_}, {folder_});
}

TEST_F(BadInput, ASettingIsRefusedByKey) {
  expect_set_refused("train.stepps=3", {"train.stepps", "train.steps"});
  expect_set_refused("train.steps=many", {"train.steps"});
  expect_set_refused("train.steps=0", {"train.steps"});
  expect_set_refused("tiers.io_depth=99999", {"tiers.io_depth"});
  expect_set_refused("model.width=17", {"model.width"});
  expect_set_refused("data.vocabulary=100", {"data.vocabulary"});
  EXPECT_FALSE(fs::exists(directory()) && fs::exists(checkpoint("manifest.json")));
}

TEST_F(BadInput, WrongUsageExitsWithTwo) {
  expect_refused({"train"}, {}, 2);
  expect_refused({"resume"}, {}, 2);
  expect_refused({"train", file(), "--set", "train.steps"}, {"train.steps"}, 2);
  expect_refused({"resume", directory(), "--frobnicate"}, {"--frobnicate"}, 2);
}

TEST_F(BadInput, DataThatCannotBeTrainedOnIsRefusedByPath) {
  const std::string empty = run_.path("empty.txt");
  put(empty, "");
  const std::string brief = run_.path("brief.txt");
  put(brief, "too short");
  const std::string shard = run_.path("shard.bin");
  put(shard, "no shard");
  const std::string cut = run_.path("cut.bin");
  std::string header(1024, '\0');
  const std::int32_t fields[] = {20240520, 1, 1000};
  std::memcpy(header.data(), fields, sizeof(fields));
  put(cut, header + "ab");
  const std::string nothing = run_.path("nothing.bin");
  const std::int32_t none = 0;
  std::memcpy(header.data() + 8, &none, sizeof(none));
  put(nothing, header);
  fs::create_directory(run_.path("folder"));
  const std::string pipe = run_.path("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0644), 0);
  for (const std::string& path :
       {run_.path("absent.txt"), empty, brief, shard, cut, nothing, run_.path("folder"), pipe}) {
    expect_set_refused("data.path=" + path, {path});
  }
  put(run_.path("folder/b.txt"), "");
  expect_set_refused("data.path=" + run_.path("folder"), {run_.path("folder")});
  expect_set_refused("data.path=", {"data.path"});
  expect_set_refused("train.sequence=2000", {config_.data.path, "train.sequence"});
}

TEST_F(BadInput, ATokenOutsideTheVocabularyIsRefusedWithItsPlace) {
  std::string shard(1024, '\0');
  const std::int32_t fields[] = {20240520, 1, 1000};
  std::memcpy(shard.data(), fields, sizeof(fields));
  std::string tokens(2000, '\0');
  tokens[2 * 777 + 1] = '\x7f';
  put(run_.path("wide.bin"), shard + tokens);
  expect_set_refused("data.path=" + run_.path("wide.bin"), {"wide.bin", "777", "data.vocabulary"});
}

TEST_F(BadInput, DataThatMayNotBeReadIsRefused) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  const std::string closed = run_.path("closed.txt");
  put(closed, "some text that nobody may read");
  fs::permissions(closed, fs::perms::none);
  expect_set_refused("data.path=" + closed, {closed});
}

TEST_F(BadInput, ABudgetOfNothingSaysHowMuchIsNeeded) {
  expect_set_refused("tiers.device_bytes=0", {"tiers.device_bytes"});
  const std::uint64_t least = offload::TieredStore::minimum_device_bytes({.width = 16});
  expect_set_refused("tiers.device_bytes=100", {"tiers.device_bytes", std::to_string(least)});
}

TEST_F(BadInput, ABudgetBeyondTheMachineSaysWhatIsFree) {
  // A table that could fill any machine; opening it takes nothing.
  config_.memory.half_keys = 65535;
  write_config();
  for (const char* setting : {"tiers.device_bytes=\"900GiB\"", "tiers.host_bytes=\"900GiB\"",
                              "tiers.host_bytes=\"100000TiB\""}) {
    expect_set_refused(setting, {"GiB", "free"});
  }
}

TEST_F(BadInput, BudgetsThatAreBeyondTheMachineTogetherAreRefusedToo) {
  config_.memory.half_keys = 65535;
  std::uint64_t free_kib = 0;
  std::ifstream file("/proc/meminfo");
  for (std::string name; file >> name;) {
    if (name == "MemAvailable:") file >> free_kib;
  }
  ASSERT_GT(free_kib, 0u);
  config_.tiers.store.device_bytes = free_kib * 1024 / 10 * 7;
  config_.tiers.store.host_bytes = free_kib * 1024 / 10 * 7;
  write_config();
  expect_refused({"train", this->file()}, {"free"});
}

TEST_F(BadInput, ABudgetBeyondTheTableTakesNoMoreThanTheTable) {
  config_.tiers.store.device_bytes = std::uint64_t{1} << 50;
  config_.tiers.store.host_bytes = std::uint64_t{1} << 50;
  write_config();
  const Finished finished = run({"train", file()});
  EXPECT_EQ(finished.status, 0) << finished.error;
  config_ = run_.tiered("run");
  config_.checkpoint.every = 2;
  expect_unharmed();
}

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
  expect_damage_found(rows(), [](std::string& text) { text.resize(5000); }, {rows()});
  expect_damage_found(rows(), [](std::string& text) { text.resize(0); }, {rows()});
  expect_damage_found(rows(), [](std::string& text) { text[0] ^= 1; }, {rows()});
  // One bit in every record: whichever is read first is found, wherever it is read.
  const auto flip = [](std::string& text) {
    for (std::size_t at = 4096; at + 200 < text.size() && at < (1 << 20); at += 512) {
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
  expect_error(run({"resume", directory()}), 1, {small, "No space left"}, true);
  fs::remove(ballast);
  expect_unharmed();
}

}  // namespace
}  // namespace mneme::test
