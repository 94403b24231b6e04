// Work that was stopped, killed or cut off from its power goes on to the bytes that it would have
// come to without that.
#include <exception>

#include "io/forwarding_disk.h"
#include "io/interrupted.h"
#include "io/random.h"
#include "tests/simulated_disk/simulated_disk.h"
#include "tests/support/error_of.h"
#include "tests/text/prepare/datasets.h"

namespace mneme::text {
namespace {

using mneme::testing::error_of;
using testing::files_below;
using Files = std::map<std::string, std::string>;

struct Killed : std::exception {};

// Lets so many changes of the disk pass, and throws Killed at each one behind them.
class DyingDisk : public io::ForwardingDisk {
 public:
  DyingDisk(io::Disk& inner, std::uint64_t changes) : ForwardingDisk(inner), left_(changes) {}
  std::uint64_t left() const { return left_; }

  std::unique_ptr<io::AppendFile> append(const std::string& path,
                                         std::uint64_t keep_bytes) override {
    live();
    return std::make_unique<DyingFile>(*this, ForwardingDisk::append(path, keep_bytes));
  }
  void make_directories(const std::string& path) override {
    live();
    ForwardingDisk::make_directories(path);
  }
  void rename(const std::string& from, const std::string& to) override {
    live();
    ForwardingDisk::rename(from, to);
  }
  void remove(const std::string& path) override {
    live();
    ForwardingDisk::remove(path);
  }
  void write_file(const std::string& path, std::span<const std::byte> content) override {
    live();
    // Half of it is written when the process dies.
    if (left_ == 0) ForwardingDisk::write_file(path, content.first(content.size() / 2));
    live();
    ForwardingDisk::write_file(path, content);
  }

 private:
  class DyingFile : public io::AppendFile {
   public:
    DyingFile(DyingDisk& disk, std::unique_ptr<io::AppendFile> inner)
        : disk_(disk), inner_(std::move(inner)) {}
    void append(std::span<const std::byte> bytes) override {
      disk_.live();
      inner_->append(bytes);
    }
    void sync() override { inner_->sync(); }

   private:
    DyingDisk& disk_;
    std::unique_ptr<io::AppendFile> inner_;
  };
  void live() {
    if (left_ == 0) throw Killed();
    --left_;
  }

  std::uint64_t left_;
};

// The simulated disk renames files alone.
class FolderRenamingDisk : public io::ForwardingDisk {
 public:
  explicit FolderRenamingDisk(io::Disk& inner) : ForwardingDisk(inner), inner_(inner) {}
  void rename(const std::string& from, const std::string& to) override {
    if (!inner_.is_directory(from)) return inner_.rename(from, to);
    inner_.make_directories(to);
    for (const std::string& name : inner_.list(from)) rename(from + "/" + name, to + "/" + name);
    inner_.remove(from);
  }

 private:
  io::Disk& inner_;
};

class Resume : public testing::Datasets {
 protected:
  Resume() {
    options_.checkpoint_seconds = 0;
    put_corpus(20);
  }
  std::string work() const { return options_.output + io::kAsideSuffix; }
  // Changes that a whole run makes.
  std::uint64_t count_changes() {
    constexpr std::uint64_t kMany = 1'000'000;
    DyingDisk counting(disk_, kMany);
    prepare(counting, tokenizer_, options_);
    std::filesystem::remove_all(options_.output);
    return kMany - counting.left();
  }
  // False when the process came to its end.
  bool kill_after(std::uint64_t changes) {
    DyingDisk dying(disk_, changes);
    try {
      prepare(dying, tokenizer_, options_);
      return false;
    } catch (const Killed&) {
      return true;
    }
  }
  void stop_after(int questions) {
    options_.check = [left = questions]() mutable {
      if (left-- == 0) throw io::Interrupted(2);
    };
  }
};

TEST_F(Resume, WorkThatWasStoppedGoesOnWhereItWas) {
  for (const io::TokenLayout layout :
       {io::TokenLayout::kLlmC, io::TokenLayout::kNanogpt, io::TokenLayout::kMegatron}) {
    options_.layout = layout;
    options_.checkpoint_seconds = 1000;  // only the stop saves
    const Files whole = expected();
    std::uint64_t resumed = 0;
    for (int stops = 0;; ++stops) {
      ASSERT_LT(stops, 1000);
      stop_after(3);
      try {
        resumed = run().resumed_documents;
        break;
      } catch (const io::Interrupted&) {
        EXPECT_FALSE(disk_.exists(options_.output));
      }
    }
    EXPECT_GT(resumed, 10u);
    EXPECT_EQ(output(), whole);
    std::filesystem::remove_all(options_.output);
  }
}

TEST_F(Resume, AKillAtAnyChangeOfTheDiskLosesNothing) {
  for (const io::TokenLayout layout : {io::TokenLayout::kLlmC, io::TokenLayout::kMegatron}) {
    options_.layout = layout;
    const Files whole = expected();
    const std::uint64_t changes = count_changes();
    EXPECT_GT(changes, 60u);
    for (std::uint64_t change = 0; change < changes; change += 1 + changes / 15) {
      EXPECT_TRUE(kill_after(change));
      // What was published is whole; what was not goes on.
      if (!disk_.exists(options_.output)) run();
      EXPECT_EQ(output(), whole) << "killed at change " << change << " of " << changes;
      std::filesystem::remove_all(options_.output);
      std::filesystem::remove_all(work());
    }
  }
}

TEST_F(Resume, KillsInARowLoseNothing) {
  const Files whole = expected();
  io::SplitMix random(3);
  int kills = 0;
  while (kill_after(20 + random.below(40))) ASSERT_LT(++kills, 300);
  EXPECT_GT(kills, 2);
  EXPECT_EQ(output(), whole);
}

TEST_F(Resume, WhatAKillBehindTheLastStepLeavesGoesWithTheNextCall) {
  const Files whole = expected();
  const std::uint64_t changes = count_changes();
  for (std::uint64_t last = 1; last <= 5; ++last) {
    EXPECT_TRUE(kill_after(changes - last));
    if (!disk_.exists(options_.output)) run();
    // However much of the work's own folder is left.
    EXPECT_NE(error_of([&] { run(); }).find("is there already"), std::string::npos);
    EXPECT_FALSE(disk_.exists(work())) << last << " changes before the end";
    EXPECT_EQ(output(), whole);
    std::filesystem::remove_all(options_.output);
  }
}

TEST_F(Resume, APowerCutAtAnyMomentLosesNothing) {
  const Files whole = expected();
  options_.output = "/out";
  options_.threads = 1;
  io::SimulatedDisk disk;
  disk.make_directories("/");
  FolderRenamingDisk renaming(disk);
  prepare(renaming, tokenizer_, options_);
  // Up to the rename of the folder, which is one operation of a real disk.
  std::size_t end = 0;
  while (disk.describe_operation(end) != "make directory /out") ++end;
  EXPECT_GT(end, 100u);
  using Kind = io::CrashPolicy::Kind;
  const Kind kinds[] = {Kind::kDropUnsynced, Kind::kKeepUnsynced, Kind::kRandomSubset, Kind::kTear,
                        Kind::kGarbage};
  int number = 0;
  for (std::size_t boundary = 0; boundary <= end; boundary += 3) {
    const io::CrashPolicy policy = {kinds[number++ % 5], 1};
    const auto crashed = disk.crash_state(boundary, policy);
    FolderRenamingDisk after(*crashed);
    after.make_directories("/");
    try {
      prepare(after, tokenizer_, options_);
    } catch (const io::Error& error) {
      FAIL() << error.what() << " before " << disk.describe_operation(boundary);
    }
    ASSERT_EQ(files_below(after, "/out"), whole) << "cut before operation " << boundary;
  }
}

TEST_F(Resume, AFullDiskIsAnErrorFromWhichTheWorkGoesOn) {
  const Files whole = expected();
  options_.output = "/out";
  io::SimulatedDisk disk({.seed = 1, .alignment = 512, .record_log = false});
  disk.make_directories("/");
  FolderRenamingDisk renaming(disk);
  bool is_whole = false;
  int refusals = 0;
  for (std::uint64_t room = 1000; !is_whole; room += 1500) {
    io::SimulatedFaults faults;
    faults.capacity_bytes = room;
    disk.set_faults(faults);
    const std::string error = error_of([&] { prepare(renaming, tokenizer_, options_); });
    is_whole = error.empty();
    if (is_whole) break;
    ++refusals;
    EXPECT_NE(error.find("No space left"), std::string::npos) << error;
    EXPECT_FALSE(renaming.exists("/out"));
  }
  EXPECT_GT(refusals, 5);
  EXPECT_EQ(files_below(renaming, "/out"), whole);
}

class ChangedWork : public Resume {
 protected:
  ChangedWork() {
    options_.checkpoint_seconds = 1000;
    stop_after(5);
    EXPECT_THROW(run(), io::Interrupted);
    options_.check = {};
  }
  void expect_refused(const std::string& part) {
    const Files before = files_below(disk_, work());
    const std::string error = error_of([&] { run(); });
    EXPECT_NE(error.find(part), std::string::npos) << error;
    EXPECT_NE(error.find("--restart"), std::string::npos) << error;
    Files after = files_below(disk_, work());
    after["LOCK"] = before.at("LOCK");
    EXPECT_EQ(after, before);
  }
};

TEST_F(ChangedWork, OtherOptionsAreRefusedAndTheFirstOnesGoOn) {
  const PrepareOptions begun = options_;
  options_.validation_share = 0.1;
  expect_refused("validation-share 0.2 and not 0.1");
  options_ = begun;
  options_.separator = "none";
  expect_refused("separator 256 and not null");
  options_ = begun;
  options_.encoding = "gpt2";
  expect_refused("another tokenizer");
  options_ = begun;
  options_.inputs.push_back(files_.put("more.txt", "more"));
  expect_refused("with 3 files to read, now there are 4");
  options_ = begun;
  options_.program = "mneme later";
  expect_refused("by \"mneme test\"");
  options_ = begun;
  options_.threads = 3;
  options_.batch_bytes = 77;
  EXPECT_GT(run().resumed_documents, 0u);
  EXPECT_EQ(output(), expected());
}

TEST_F(ChangedWork, AChangedSourceIsRefusedAndRestartBeginsAnew) {
  files_.put("in/c.md", "another text");
  expect_refused("in/c.md was another file");
  options_.restart = true;
  EXPECT_EQ(run().resumed_documents, 0u);
  options_.restart = false;
  EXPECT_EQ(output(), expected());
}

TEST_F(ChangedWork, RestartRemovesNothingThatPrepareHasNotMade) {
  files_.put("out.mneme-partial/dataset/train/mine.bin", "mine");
  options_.restart = true;
  const std::string error = error_of([&] { run(); });
  EXPECT_NE(error.find("train/mine.bin: mneme prepare has not made it"), std::string::npos)
      << error;
  EXPECT_TRUE(disk_.exists(work() + "/dataset/train/mine.bin"));
  std::filesystem::remove(work() + "/dataset/train/mine.bin");
  files_.put("out.mneme-partial/note", "mine");
  run();
  EXPECT_EQ(files_below(disk_, work()).at("note"), "mine");
  EXPECT_EQ(output(), expected());
}

TEST_F(ChangedWork, DamagedNotesAreErrors) {
  files_.put("out.mneme-partial/progress.json", "{\"position\": 1}");
  expect_refused("cannot be read");
  files_.put("out.mneme-partial/progress.json", "{");
  expect_refused("is damaged");
  files_.put("out.mneme-partial/request.json", "[]");
  expect_refused("is damaged");
}

}  // namespace
}  // namespace mneme::text
