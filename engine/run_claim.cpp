#include "engine/run_claim.h"

#include "engine/run_config_file.h"
#include "engine/run_files.h"

namespace mneme::engine {

void RunClaim::take(io::Disk& disk, const std::string& directory) {
  disk.make_directories(directory);
  locks_.push_back(disk.lock(directory, io::LockKind::kExclusive));
}

RunClaim RunClaim::start(io::Disk& disk, const std::string& run_directory, std::uint64_t run_id,
                         std::string_view config) {
  // Before anything is made there, and again once nobody else can make anything.
  check_new_run_directory(disk, run_directory);
  RunClaim claim;
  claim.take(disk, run_directory);
  check_new_run_directory(disk, run_directory);
  claim.take(disk, checkpoints_directory(run_directory));
  claim.take(disk, rows_directory(run_directory));
  // Before the configuration by which it is known to be one is replaced.
  remove_unfinished_run(disk, run_directory);
  const std::string text = run_config_text(run_id, config);
  io::replace_file(disk, config_path(run_directory), std::as_bytes(std::span(text)));
  return claim;
}

RunClaim RunClaim::resume(io::Disk& disk, const std::string& run_directory) {
  RunClaim claim;
  for (const std::string& directory :
       {run_directory, checkpoints_directory(run_directory), rows_directory(run_directory)}) {
    claim.take(disk, directory);
  }
  return claim;
}

RunClaim RunClaim::read(io::Disk& disk, const std::string& run_directory) {
  RunClaim claim;
  claim.locks_.push_back(disk.lock(run_directory, io::LockKind::kShared));
  return claim;
}

}  // namespace mneme::engine
