// Runs the built program while one call of one libc function fails, and judges what came of it.
//
// A trial is one run of one command under one fault (tests/fault_injection/fault.h). It must end
// with the right result, or with exit status 1 and one line that says what, where and what to do.
// Either way nothing is lost: what is committed verifies, and training goes on to the end of a run
// that nothing disturbed, bit for bit.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "engine/run_files.h"
#include "tests/engine/tiny_run.h"
#include "tests/fault_injection/fault.h"
#include "tests/tools/program.h"

namespace mneme::test {

namespace fs = std::filesystem;

// kTrain reads and writes rows with pread() and pwrite(), kTrainOnRing with io_uring where the
// system has it.
enum class Command { kTrain, kTrainOnRing, kResume, kVerify, kInspect, kEval, kGenerate, kExport };

inline const char* name_of(Command command) {
  constexpr const char* kNames[] = {"train", "train on a ring", "resume", "verify", "inspect",
                                    "eval",  "generate",        "export"};
  return kNames[static_cast<std::size_t>(command)];
}

struct Trial {
  Command command = Command::kTrain;
  Fault fault;
};

struct Judgement {
  enum class End { kRight, kRefused, kUntouched };  // untouched: the fault did not strike
  End end = End::kRight;
  std::string message;  // of a refusal
  std::string problem;  // what a run did that it must not; empty for a good one
};

class FaultRuns {
 public:
  FaultRuns() {
    fs::create_directory(run_.path("whole"));
    const Folder whole(run_.path("whole"));
    write_config(whole);
    expect_success(whole, words(Command::kTrain, whole));
    whole_ = state(whole);
    // What an export finds under the name that it is to give.
    expect_success(whole, {"export", whole.directory, "--step", "2", "--output",
                           run_.path("old.safetensors")});
    EXPECT_NE(tensors_of(run_.path("old.safetensors")), whole_.exported);
    // A run that died right after its first checkpoint, for `resume`.
    fs::create_directory(run_.path("half"));
    const Folder half(run_.path("half"));
    write_config(half);
    const Fault death{.functions = "rename",
                      .action = "SIGKILL",
                      .path = "*/manifest.json",
                      .when = Fault::When::kAfter};
    const Finished killed = start(half, words(Command::kTrain, half), settings(death, half.report));
    EXPECT_EQ(killed.status, -SIGKILL) << killed.error;
    for (const Command reading :
         {Command::kVerify, Command::kInspect, Command::kEval, Command::kGenerate}) {
      const Folder folder = prepared(reading, "reader");
      output_[reading] = output_of(folder, expect_success(folder, words(reading, folder)));
    }
  }

  // How often a run of the command calls a function, for its own files where it has any.
  std::map<std::string, std::uint64_t> count_calls(Command command, const std::string& path) {
    const Folder folder = prepared(command, "count");
    const Finished finished =
        start(folder, words(command, folder),
              settings({.functions = "open", .call = 0, .path = path}, folder.report));
    EXPECT_EQ(finished.status, 0) << finished.error;
    std::map<std::string, std::uint64_t> counts;
    std::istringstream report(text_of(folder.report));
    std::string word, function;
    for (std::uint64_t number = 0; report >> word >> function >> number;) counts[function] = number;
    return counts;
  }
  // The pattern of all files that belong to the test.
  std::string own_files() const { return run_.path("*"); }

  // Carries out one trial in a folder of its own.
  Judgement judge(const Trial& trial, const std::string& folder_name) const {
    const Folder folder = prepared(trial.command, folder_name);
    const Finished finished =
        start(folder, words(trial.command, folder), settings(trial.fault, folder.report));
    Judgement judgement;
    if (text_of(folder.report).find("struck ") == std::string::npos) {
      judgement.end = Judgement::End::kUntouched;
    } else if (finished.status == 1) {
      judgement.end = Judgement::End::kRefused;
      judgement.problem = find_unclear(finished, judgement.message);
      if (judgement.problem.empty() && must_not_show(trial.fault)) {
        judgement.problem = "not retried: " + judgement.message;
      }
    }
    if (finished.status != 0 && judgement.end != Judgement::End::kRefused) {
      judgement.problem =
          "ended with status " + std::to_string(finished.status) + ": " + finished.error;
    }
    if (judgement.problem.empty()) {
      judgement.problem = find_harm(trial.command, folder, finished);
    }
    return judgement;
  }

  // What a trial is called in messages; its settings reproduce it.
  static std::string describe(const Trial& trial) {
    return std::string(name_of(trial.command)) + " with " + settings(trial.fault, "").at(1);
  }

 private:
  // Where one run of the program has its files.
  struct Folder {
    explicit Folder(const std::string& folder)
        : path(folder),
          directory(path + "/run"),
          config(path + "/run.toml"),
          exported(path + "/exported.safetensors"),
          report(path + "/report") {}
    std::string path;
    std::string directory;
    std::string config;
    std::string exported;
    std::string report;
  };

  // What a whole run leaves behind.
  struct State {
    std::vector<std::pair<std::uint64_t, double>> losses;
    std::string dense;     // the tensors of the newest checkpoint's dense file
    std::string exported;  // those of the model and the rows
    bool operator==(const State&) const = default;
  };

  // Few rows, some on every tier, and few transfers: each becomes a trial.
  void write_config(const Folder& folder) const {
    engine::Config config = run_.config("");
    config.run.directory = folder.directory;
    config.memory.half_keys = 8;
    config.memory.knn = 2;
    config.tiers.store.device_bytes = engine::testing::TinyRun::device_bytes(20);
    config.tiers.store.host_bytes = engine::testing::TinyRun::host_bytes(20);
    config.tiers.store.disk_bytes = 2 << 20;
    config.tiers.store.io_engine = io::IoEngine::kSync;
    config.train.steps = 4;
    config.train.sequence = 6;
    config.train.micro_batches = 1;
    config.checkpoint.every = 2;
    std::ofstream(folder.config) << engine::to_toml(config);
  }

  static std::vector<std::string> words(Command command, const Folder& folder) {
    switch (command) {
      case Command::kTrain:
        return {"train", folder.config};
      case Command::kTrainOnRing:
        return {"train", folder.config, "--set", "tiers.io_engine=auto"};
      case Command::kGenerate:
        return {"generate", folder.directory, "--tokens", "3"};
      case Command::kExport:
        return {"export", folder.directory, "--output", folder.exported};
      default:
        return {name_of(command), folder.directory};
    }
  }

  // A fresh folder in which a command can run.
  Folder prepared(Command command, const std::string& name) const {
    fs::remove_all(run_.path(name));
    fs::create_directory(run_.path(name));
    Folder folder(run_.path(name));
    if (command == Command::kTrain || command == Command::kTrainOnRing) {
      write_config(folder);
    } else {
      const char* from = command == Command::kResume ? "half/run" : "whole/run";
      fs::copy(run_.path(from), folder.directory, fs::copy_options::recursive);
    }
    if (command == Command::kExport) fs::copy(run_.path("old.safetensors"), folder.exported);
    return folder;
  }

  static Finished start(const Folder& folder, const std::vector<std::string>& command,
                        std::vector<std::string> environment = {}) {
    return Program(folder.path, mneme(command), environment).wait_a_minute();
  }
  static Finished expect_success(const Folder& folder, const std::vector<std::string>& command) {
    Finished finished = start(folder, command);
    EXPECT_EQ(finished.status, 0) << finished.error;
    return finished;
  }

  // The tensors of a safetensors file; its header names the run.
  static std::string tensors_of(const std::string& path) {
    const std::string text = text_of(path);
    std::uint64_t header = 0;
    if (text.size() < sizeof(header)) return text;
    std::memcpy(&header, text.data(), sizeof(header));
    return header < text.size() ? text.substr(sizeof(header) + header) : text;
  }

  State state(const Folder& folder) const {
    State found;
    found.losses = engine::testing::read_losses(folder.directory);
    const std::string checkpoints = engine::checkpoints_directory(folder.directory);
    const auto disk = io::make_posix_disk();
    const engine::Manifest manifest = engine::read_manifest(*disk, checkpoints);
    found.dense = tensors_of(checkpoints + "/" + manifest.checkpoints.back().dense.name);
    const Finished exported = start(folder, words(Command::kExport, folder));
    found.exported = exported.status == 0 ? tensors_of(folder.exported) : exported.error;
    return found;
  }

  // Standard output without the name of the run's folder.
  static std::string output_of(const Folder& folder, const Finished& finished) {
    std::string output = finished.output;
    for (std::size_t at = 0; (at = output.find(folder.directory)) != std::string::npos;) {
      output.erase(at, folder.directory.size());
    }
    return output;
  }

  // Interruptions and parts of transfers are everyday life, and no one's business.
  static bool must_not_show(const Fault& fault) {
    return fault.action.starts_with("EINTR") || fault.action == "short";
  }

  // What is wrong with the text of a refusal.
  static std::string find_unclear(const Finished& finished, std::string& message) {
    const std::string& text = finished.error;
    const std::size_t at = text.rfind("error: ");
    if (at == std::string::npos || (at > 0 && text[at - 1] != '\n')) return "says nothing: " + text;
    message = text.substr(at);
    if (message.find('\n') != message.size() - 1) return "not one line at the end: " + text;
    if (text.find("error: ") != at) return "two errors: " + text;
    static const std::regex inner(
        "std::|basic_|iostream|filesystem error|terminate|Success|what\\(\\)");
    if (std::regex_search(message, inner)) return "speaks of our inside: " + message;
    static const std::regex place("/|memory|thread|output");
    if (!std::regex_search(message, place)) return "does not say where: " + message;
    if (message.find("; ") == std::string::npos) return "does not say what to do: " + message;
    return "";
  }

  // What is lost or wrong after a run of the command.
  std::string find_harm(Command command, const Folder& folder, const Finished& finished) const {
    switch (command) {
      case Command::kTrain:
      case Command::kTrainOnRing:
      case Command::kResume:
        return find_loss(folder, finished.status != 0);
      case Command::kExport: {
        const std::string left = tensors_of(folder.exported);
        const bool old = finished.status != 0 && left == tensors_of(run_.path("old.safetensors"));
        return old || left == whole_.exported ? "" : "the exported file is in pieces";
      }
      default:
        if (finished.status != 0) return "";
        if (output_of(folder, finished) == output_.at(command)) return "";
        return "another output: " + finished.output;
    }
  }

  std::string find_loss(const Folder& folder, bool go_on) const {
    if (go_on) {
      const auto disk = io::make_posix_disk();
      const bool committed =
          engine::manifest_exists(*disk, engine::checkpoints_directory(folder.directory));
      if (committed) {
        const Finished verified = start(folder, words(Command::kVerify, folder));
        if (verified.status != 0) return "then does not verify: " + verified.error;
      }
      const Finished ended =
          start(folder, words(committed ? Command::kResume : Command::kTrain, folder));
      if (ended.status != 0) return "then does not go on: " + ended.error;
    }
    return state(folder) == whole_ ? "" : "ends with other bits than an undisturbed run";
  }

  engine::testing::TinyRun run_;
  State whole_;
  std::map<Command, std::string> output_;
};

}  // namespace mneme::test
