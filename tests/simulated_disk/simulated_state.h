// The inside of SimulatedDisk, shared with its files.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "io/random.h"
#include "tests/simulated_disk/simulated_disk.h"
#include "tests/simulated_disk/simulated_log.h"

namespace mneme::io {

struct SimulatedDisk::State {
  explicit State(const SimulatedDiskOptions& disk_options)
      : options(disk_options), random(disk_options.seed) {}

  // Which of the fault counters an operation counts for.
  enum class Counted { kRead, kWrite, kSync };

  // Applies an operation to the disk, if it is not yet, and adds it to the log.
  void record(SimulatedOperation operation, bool apply = true);
  // Counts a transfer or sync; true when it is to fail.
  bool fails_now(Counted counted);
  // Appends a sync of the inode to the log; throws Error naming the path when it fails.
  void sync(std::uint32_t inode, const std::string& path);
  std::uint64_t used_bytes() const;
  // Whether a file may grow from old_bytes to new_bytes.
  bool has_room(std::uint64_t old_bytes, std::uint64_t new_bytes) const;
  // The inode of a file; throws Error when it is missing.
  std::uint32_t find(const std::string& path) const;
  // Creates the file when it is missing. Throws Error when its directory is missing.
  std::uint32_t find_or_create(const std::string& path);

  // Recursive: a file's transfer logic asks the file for its size.
  mutable std::recursive_mutex mutex;
  SimulatedDiskOptions options;
  SplitMix random;
  SimulatedFaults faults;
  std::uint64_t counted[3] = {};
  SimulatedImage current;
  std::map<std::string, int> locks;  // by directory: shared holders, or -1 for an exclusive one
  SimulatedImage initial;            // `current` before the first operation of the log
  std::vector<SimulatedOperation> log;
  mutable std::unique_ptr<CrashReplay> replay;
};

// A path in the form under which a SimulatedDisk knows it.
std::string normal_path(const std::string& path);

std::unique_ptr<BlockFile> open_simulated_file(SimulatedDisk::State& disk, std::uint32_t inode,
                                               const std::string& path, const OpenOptions& options);

}  // namespace mneme::io
