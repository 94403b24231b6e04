// A run directory while somebody works in it: its locks. The folders of checkpoints and rows have
// locks of their own, since each may be a link that two runs share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/disk.h"

namespace mneme::engine {

class RunClaim {
 public:
  // For a new run: makes and locks the directory, removes what a run that never came to a
  // checkpoint has left there, and writes config.toml. Throws Error when the directory holds
  // something else (run_files.h), somebody works there, or it cannot be written.
  static RunClaim start(io::Disk& disk, const std::string& run_directory, std::uint64_t run_id,
                        std::string_view config);
  // To go on with a run.
  static RunClaim resume(io::Disk& disk, const std::string& run_directory);
  // To read a run while nobody trains it; writes nothing.
  static RunClaim read(io::Disk& disk, const std::string& run_directory);

 private:
  void take(io::Disk& disk, const std::string& directory);

  std::vector<std::unique_ptr<io::DirectoryLock>> locks_;
};

}  // namespace mneme::engine
