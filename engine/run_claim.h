// A run directory while somebody works in it: its locks. The folders of checkpoints and rows have
// locks of their own, since each may be a link that two runs share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/disk.h"

namespace mneme::engine {

// Until keep() is called, whatever the claim has made goes with it, so that a start that fails
// leaves the directory as it was: folders where they are empty, LOCK files, and what a run writes
// before its first checkpoint. REQUIRES: whoever writes rows or metrics there has ended by then.
class RunClaim {
 public:
  RunClaim() = default;
  RunClaim(RunClaim&& other) noexcept { swap(other); }
  RunClaim& operator=(RunClaim&& other) noexcept {
    swap(other);
    return *this;
  }
  ~RunClaim();

  // For a new run: makes and locks the directory. Throws Error when it holds something else
  // (run_files.h), somebody works there, or it cannot be written.
  static RunClaim start(io::Disk& disk, const std::string& run_directory);
  // To go on with a run.
  static RunClaim resume(io::Disk& disk, const std::string& run_directory);
  // To read a run while nobody trains it; writes nothing. Throws Error as require_checkpoint does.
  static RunClaim read(io::Disk& disk, const std::string& run_directory);

  // Of a new run that is about to take its first step: removes what a run that never came to a
  // checkpoint has left there, and writes config.toml.
  void begin(std::uint64_t run_id, std::string_view config);
  // Writes a file of the run that is not there yet. REQUIRES: begin() has been called.
  void add(const std::string& name, std::span<const std::byte> content);
  // What is there stays from now on.
  void keep() { disk_ = nullptr; }

 private:
  RunClaim(io::Disk& disk, std::string run_directory)
      : disk_(&disk), run_directory_(std::move(run_directory)) {}
  void take(const std::string& directory);
  void make_directories(const std::string& path);
  void undo();
  void swap(RunClaim& other) noexcept;

  io::Disk* disk_ = nullptr;  // null: nothing is undone
  std::string run_directory_;
  std::vector<std::string> made_;   // directories, the innermost last
  std::vector<std::string> added_;  // files
  bool has_begun_ = false;
  bool had_config_ = false;  // before begin()
  std::vector<std::unique_ptr<io::DirectoryLock>> locks_;
};

}  // namespace mneme::engine
