#include "engine/run_claim.h"

#include <ranges>
#include <utility>

#include "engine/run_config_file.h"
#include "engine/run_files.h"
#include "io/error.h"

namespace mneme::engine {

void RunClaim::swap(RunClaim& other) noexcept {
  std::swap(disk_, other.disk_);
  std::swap(run_directory_, other.run_directory_);
  std::swap(made_, other.made_);
  std::swap(added_, other.added_);
  std::swap(has_begun_, other.has_begun_);
  std::swap(had_config_, other.had_config_);
  std::swap(locks_, other.locks_);
}

// One after the other, to know each that was missing.
void RunClaim::make_directories(const std::string& path) {
  if (disk_->is_directory(path)) return;
  const std::string parent = io::directory_of(path);
  if (parent != path) make_directories(parent);
  disk_->make_directories(path);
  made_.push_back(path);
}

void RunClaim::take(const std::string& directory) {
  make_directories(directory);
  locks_.push_back(disk_->lock(directory, io::LockKind::kExclusive));
}

RunClaim RunClaim::start(io::Disk& disk, const std::string& run_directory) {
  // Before anything is made there, and again once nobody else can make anything.
  check_new_run_directory(disk, run_directory);
  RunClaim claim(disk, run_directory);
  claim.take(run_directory);
  check_new_run_directory(disk, run_directory);
  claim.take(checkpoints_directory(run_directory));
  claim.take(rows_directory(run_directory));
  return claim;
}

RunClaim RunClaim::resume(io::Disk& disk, const std::string& run_directory) {
  RunClaim claim(disk, run_directory);
  for (const std::string& directory :
       {run_directory, checkpoints_directory(run_directory), rows_directory(run_directory)}) {
    claim.take(directory);
  }
  return claim;
}

RunClaim RunClaim::read(io::Disk& disk, const std::string& run_directory) {
  require_checkpoint(disk, run_directory);
  RunClaim claim;
  claim.locks_.push_back(disk.lock(run_directory, io::LockKind::kShared));
  return claim;
}

void RunClaim::begin(std::uint64_t run_id, std::string_view config) {
  const std::string path = config_path(run_directory_);
  had_config_ = disk_->exists(path);
  has_begun_ = true;
  // Before the configuration by which it is known to be one is replaced.
  remove_unfinished_run(*disk_, run_directory_);
  const std::string text = run_config_text(run_id, config);
  io::replace_file(*disk_, path, std::as_bytes(std::span(text)));
}

void RunClaim::add(const std::string& name, std::span<const std::byte> content) {
  added_.push_back(run_directory_ + "/" + name);
  io::replace_file(*disk_, added_.back(), content);
}

RunClaim::~RunClaim() {
  if (disk_ == nullptr) return;
  try {
    undo();
  } catch (const io::Error&) {
    // Why the start has failed matters more than what stayed, which the next one can do with.
  }
}

void RunClaim::undo() {
  const std::string config = config_path(run_directory_);
  if (has_begun_) {
    disk_->remove(config + io::kAsideSuffix);
    // Throws where anything else has come meanwhile.
    check_new_run_directory(*disk_, run_directory_);
    remove_unfinished_run(*disk_, run_directory_);
    for (const std::string& path : added_) {
      disk_->remove(path + io::kAsideSuffix);
      disk_->remove(path);
    }
    if (!had_config_) disk_->remove(config);
  }
  for (const auto& lock : locks_) lock->remove_file();
  for (const std::string& directory : std::views::reverse(made_)) disk_->remove(directory);
}

}  // namespace mneme::engine
