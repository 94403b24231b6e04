// Runs whose rows are spread over several disks (tiers.disk_paths): promise 1, and what is said
// where a disk is missing or fails.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "engine/manifest.h"
#include "io/forwarding_disk.h"
#include "tests/engine/tiny_run.h"
#include "tests/support/error_of.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;
using mneme::testing::error_of;
using testing::expect_same;
using testing::TinyRun;

// The n-th call for a file below a folder fails.
class FailingDisk final : public io::ForwardingDisk {
 public:
  FailingDisk(io::Disk& inner, std::string folder, std::uint64_t n)
      : ForwardingDisk(inner), folder_(std::move(folder)), n_(n) {}

  std::unique_ptr<io::BlockFile> open(const std::string& path,
                                      const io::OpenOptions& options) override {
    if (!path.starts_with(folder_)) return inner_.open(path, options);
    call("open", path);
    return std::make_unique<File>(inner_.open(path, options), *this);
  }
  bool has_failed() const { return calls_ >= n_; }

 private:
  class File final : public io::ForwardingFile {
   public:
    File(std::unique_ptr<io::BlockFile> inner, FailingDisk& disk)
        : ForwardingFile(std::move(inner)), disk_(disk) {}
    void reserve(std::uint64_t bytes) override {
      disk_.call("reserve", path());
      inner_->reserve(bytes);
    }
    bool submit(const io::BlockRequest& request) override {
      if (!inner_->submit(request)) return false;
      if (disk_.next_fails()) failing_ = request.tag;
      return true;
    }
    std::size_t poll(std::span<io::BlockCompletion> completions, bool wait) override {
      const std::size_t count = inner_->poll(completions, wait);
      for (std::size_t i = 0; i < count; ++i) {
        if (failing_ != completions[i].tag) continue;
        completions[i].error = EIO;
        failing_.reset();
      }
      return count;
    }
    void sync() override {
      disk_.call("sync", path());
      inner_->sync();
    }

   private:
    FailingDisk& disk_;
    std::optional<std::uint64_t> failing_;
  };

  bool next_fails() { return ++calls_ == n_; }
  void call(const char* what, const std::string& path) {
    if (next_fails()) io::fail("{}: {} fails", path, what);
  }

  std::string folder_;
  std::uint64_t n_;
  std::atomic<std::uint64_t> calls_ = 0;
};

class TrainerDisks : public ::testing::Test {
 protected:
  TrainerDisks() {
    for (const char* name : {"a", "b"}) fs::create_directory(run_.path(name));
  }
  Config spread(const std::string& name) {
    Config config = run_.tiered(name);
    config.tiers.disk_paths = {run_.path("a"), run_.path("b")};
    return config;
  }
  static std::size_t files_in(const std::string& folder) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
  }

  VerifiedRun verified(const std::string& directory) { return verify_run(run_.disk(), directory); }
  static TrainerOptions resuming() {
    TrainerOptions options;
    options.resume = true;
    return options;
  }

  TinyRun run_;
};

TEST_F(TrainerDisks, GiveWhatOneDiskGives) {
  Config one = run_.tiered("one"), two = spread("two");
  one.checkpoint.every = two.checkpoint.every = 3;
  run_.train(one);
  run_.train_until(two, 5);
  run_.train(two, resuming());
  expect_same(run_.outcome(two), run_.outcome(one));
  EXPECT_EQ(files_in(run_.path("a")), 1u);
  EXPECT_EQ(files_in(run_.path("b")), 1u);
  EXPECT_FALSE(fs::exists(rows_path(two.run.directory, 0)));
  EXPECT_GT(verified(two.run.directory).records, 100u);
}

TEST_F(TrainerDisks, MayBeMountedElsewhereButNotBeFewer) {
  Config config = spread("run");
  run_.train_until(config, 4);
  Config fewer = config;
  fewer.tiers.disk_paths.pop_back();
  EXPECT_NE(error_of([&] {
              run_.train(fewer, resuming());
            }).find("the rows of the run are in 2 files, and tiers.disk_paths is for 1"),
            std::string::npos);
  fs::rename(run_.path("b"), run_.path("elsewhere"));
  EXPECT_NE(error_of([&] {
              run_.train(config, resuming());
            }).find(run_.path("b") + ": there is no such folder"),
            std::string::npos);
  config.tiers.disk_paths[1] = run_.path("elsewhere");
  run_.train(config, resuming());
  EXPECT_GT(verified(config.run.directory).records, 100u);
  Config swapped = config;
  std::swap(swapped.tiers.disk_paths[0], swapped.tiers.disk_paths[1]);
  EXPECT_NE(error_of([&] { run_.outcome(swapped); }).find("belongs to another table"),
            std::string::npos);
}

TEST_F(TrainerDisks, HaveToBeThere) {
  Config config = spread("run");
  config.tiers.disk_paths[1] = run_.path("lost");
  EXPECT_NE(error_of([&] {
              run_.train(config);
            }).find("tiers.disk_paths: " + run_.path("lost") + ": there is no such folder"),
            std::string::npos);
  EXPECT_FALSE(fs::exists(config.run.directory)) << "nothing was made";
  config.tiers.disk_paths[1] = config.tiers.disk_paths[0] + "/.";
  EXPECT_NE(error_of([&] { run_.train(config); }).find("is there twice"), std::string::npos);
}

// A run that never came to a checkpoint leaves nothing on the disks once it starts again, and
// nothing of anybody else's goes.
TEST_F(TrainerDisks, AreClearedOfAnUnfinishedRunAndOfNothingElse) {
  Config config = spread("run"), other = spread("other");
  config.checkpoint.every = 0;
  TrainerOptions options;
  options.on_step = [](const StepMetrics& metrics) {
    if (metrics.step == 5) throw std::runtime_error("as if killed");
  };
  EXPECT_THROW(run_.train(config, options), std::runtime_error);
  EXPECT_EQ(files_in(run_.path("b")), 1u);
  run_.train(other);
  EXPECT_EQ(files_in(run_.path("b")), 2u);
  run_.train(config);
  EXPECT_EQ(files_in(run_.path("a")), 2u);
  EXPECT_EQ(files_in(run_.path("b")), 2u);
  EXPECT_GT(verified(other.run.directory).records, 100u);
}

TEST_F(TrainerDisks, WhenOneFailsAtAnyCallItIsNamedAndTheLastCheckpointOpens) {
  Config reference = run_.tiered("reference");
  reference.checkpoint.every = 2;
  run_.train(reference);
  const testing::Outcome expected = run_.outcome(reference);
  std::uint64_t failures = 0, resumed = 0;
  // All of them on the CPU, where every twentieth is resumed.
  const std::uint64_t next = mneme::testing::backends_under_test().front().has_threads ? 1 : 20;
  for (std::uint64_t n = 1;; n += next) {
    SCOPED_TRACE(n);
    for (const char* name : {"a", "b", "run"}) fs::remove_all(run_.path(name));
    for (const char* name : {"a", "b"}) fs::create_directory(run_.path(name));
    Config config = spread("run");
    config.checkpoint.every = 2;
    FailingDisk failing(run_.disk(), run_.path("b"), n);
    const std::string error = error_of([&] { engine::train(config, failing, {}); });
    if (!failing.has_failed()) {
      EXPECT_EQ(error, "");
      break;
    }
    if (!error.empty()) {
      ++failures;
      EXPECT_NE(error.find(run_.path("b")), error.npos) << error;
    }
    if (!manifest_exists(run_.disk(), checkpoints_directory(config.run.directory))) continue;
    EXPECT_NO_THROW(verified(config.run.directory));
    if ((next == 1 && n % 20 != 0) || error.empty()) continue;
    ++resumed;
    run_.train(config, resuming());
    expect_same(run_.outcome(config), expected);
  }
  EXPECT_GT(failures, 50u / next);
  EXPECT_GT(resumed, 1u);
}

}  // namespace
}  // namespace mneme::engine
