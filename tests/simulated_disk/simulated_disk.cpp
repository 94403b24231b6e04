#include "tests/simulated_disk/simulated_disk.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <span>
#include <utility>

#include "io/check.h"
#include "io/checksum.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "tests/simulated_disk/simulated_log.h"
#include "tests/simulated_disk/simulated_state.h"

namespace mneme::io {
namespace {

using Kind = SimulatedOperation::Kind;
using Lock = std::lock_guard<std::recursive_mutex>;

class SimulatedLock final : public DirectoryLock {
 public:
  SimulatedLock(SimulatedDisk::State& disk, std::string directory, LockKind kind)
      : disk_(disk), directory_(std::move(directory)) {
    const Lock lock(disk_.mutex);
    int& holders = disk_.locks[directory_];
    const bool free = kind == LockKind::kExclusive ? holders == 0 : holders >= 0;
    if (!free) fail("{}/LOCK: another process holds it; wait for it or stop it", directory_);
    holders = kind == LockKind::kExclusive ? -1 : holders + 1;
  }
  void remove_file() override {}  // there is none
  ~SimulatedLock() override {
    const Lock lock(disk_.mutex);
    int& holders = disk_.locks[directory_];
    holders = holders < 0 ? 0 : holders - 1;
  }

 private:
  SimulatedDisk::State& disk_;
  std::string directory_;
};

class SimulatedAppendFile final : public AppendFile {
 public:
  SimulatedAppendFile(SimulatedDisk::State& disk, std::string path, std::uint64_t keep_bytes)
      : disk_(disk), path_(std::move(path)) {
    const Lock lock(disk_.mutex);
    inode_ = disk_.find_or_create(path_);
    CHECK(keep_bytes <= size());
    if (keep_bytes == size()) return;
    SimulatedOperation truncate = operation(Kind::kTruncate);
    truncate.offset = keep_bytes;
    disk_.record(std::move(truncate));
  }

  void append(std::span<const std::byte> bytes) override {
    const Lock lock(disk_.mutex);
    const bool failing = disk_.fails_now(SimulatedDisk::State::Counted::kWrite);
    if (failing || !disk_.has_room(size(), size() + bytes.size())) {
      fail("{}: cannot write {} bytes: {}", path_, bytes.size(),
           errno_text(failing ? EIO : ENOSPC));
    }
    SimulatedOperation write = operation(Kind::kWrite);
    write.offset = size();
    write.data.assign(bytes.begin(), bytes.end());
    disk_.record(std::move(write));
  }

  void sync() override {
    const Lock lock(disk_.mutex);
    disk_.sync(inode_, path_);
  }

 private:
  std::uint64_t size() const { return disk_.current.inodes[inode_].size; }
  SimulatedOperation operation(Kind kind) const {
    SimulatedOperation operation;
    operation.kind = kind;
    operation.inode = inode_;
    operation.path = path_;
    return operation;
  }

  SimulatedDisk::State& disk_;
  std::string path_;
  std::uint32_t inode_ = 0;
};

}  // namespace

std::string normal_path(const std::string& path) {
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  if (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal.empty() ? "." : normal;
}

void SimulatedDisk::State::record(SimulatedOperation operation, bool apply) {
  if (options.record_log && log.empty()) initial = current;
  if (apply) current.apply(operation);
  if (options.record_log) log.push_back(std::move(operation));
}

bool SimulatedDisk::State::fails_now(Counted kind) {
  const std::uint64_t number = ++counted[static_cast<std::size_t>(kind)];
  const std::uint64_t failing = kind == Counted::kRead    ? faults.fail_read
                                : kind == Counted::kWrite ? faults.fail_write
                                                          : faults.fail_sync;
  if (failing == 0) return false;
  return faults.keep_failing ? number >= failing : number == failing;
}

std::uint64_t SimulatedDisk::State::used_bytes() const {
  std::uint64_t used = 0;
  for (const auto& [path, inode] : current.names) used += current.inodes[inode].size;
  return used;
}

bool SimulatedDisk::State::has_room(std::uint64_t old_bytes, std::uint64_t new_bytes) const {
  if (new_bytes <= old_bytes) return true;
  const std::uint64_t used = used_bytes();
  return used <= faults.capacity_bytes && new_bytes - old_bytes <= faults.capacity_bytes - used;
}

void SimulatedDisk::State::sync(std::uint32_t inode, const std::string& path) {
  const bool failing = fails_now(Counted::kSync);
  SimulatedOperation operation;
  operation.kind = failing ? Kind::kFailedSync : Kind::kSync;
  operation.inode = inode;
  operation.path = path;
  record(std::move(operation));
  if (failing) fail("{}: cannot make its data durable: {}", path, errno_text(EIO));
}

std::uint32_t SimulatedDisk::State::find(const std::string& path) const {
  const auto name = current.names.find(path);
  if (name == current.names.end()) fail("{}: cannot open: {}", path, errno_text(ENOENT));
  return name->second;
}

std::uint32_t SimulatedDisk::State::find_or_create(const std::string& path) {
  if (current.names.contains(path)) return find(path);
  if (!current.directories.contains(parent_directory(path))) {
    fail("{}: cannot create: {}", path, errno_text(ENOENT));
  }
  if (current.directories.contains(path)) fail("{}: is a directory", path);
  const auto inode = static_cast<std::uint32_t>(current.inodes.size());
  SimulatedOperation create;
  create.kind = Kind::kCreate;
  create.inode = inode;
  create.path = path;
  record(std::move(create), /*apply=*/false);
  current.inodes.emplace_back();
  current.names[path] = inode;
  return inode;
}

SimulatedDisk::SimulatedDisk(const SimulatedDiskOptions& options)
    : state_(std::make_unique<State>(options)) {}

SimulatedDisk::~SimulatedDisk() = default;

std::unique_ptr<BlockFile> SimulatedDisk::open(const std::string& path,
                                               const OpenOptions& options) {
  const Lock lock(state_->mutex);
  const std::string normal = normal_path(path);
  const bool there = state_->current.names.contains(normal);
  if (there && options.create && options.exclusive) {
    fail("{}: cannot create: {}", path, errno_text(EEXIST));
  }
  CHECK(options.depth >= 1);
  const std::uint32_t inode =
      options.create ? state_->find_or_create(normal) : state_->find(normal);
  return open_simulated_file(*state_, inode, normal, options);
}

bool SimulatedDisk::exists(const std::string& path) const {
  const Lock lock(state_->mutex);
  const std::string normal = normal_path(path);
  return state_->current.names.contains(normal) || state_->current.directories.contains(normal);
}

bool SimulatedDisk::is_directory(const std::string& path) const {
  const Lock lock(state_->mutex);
  return state_->current.directories.contains(normal_path(path));
}

std::unique_ptr<DirectoryLock> SimulatedDisk::lock(const std::string& directory, LockKind kind) {
  if (!is_directory(directory)) fail("{}/LOCK: cannot open: {}", directory, errno_text(ENOENT));
  return std::make_unique<SimulatedLock>(*state_, normal_path(directory), kind);
}

std::unique_ptr<AppendFile> SimulatedDisk::append(const std::string& path,
                                                  std::uint64_t keep_bytes) {
  return std::make_unique<SimulatedAppendFile>(*state_, normal_path(path), keep_bytes);
}

std::uint64_t SimulatedDisk::available_bytes(const std::string&) const {
  const Lock lock(state_->mutex);
  const std::uint64_t capacity = state_->faults.capacity_bytes;
  return capacity - std::min(state_->used_bytes(), capacity);
}

std::vector<std::string> SimulatedDisk::list(const std::string& directory) const {
  const Lock lock(state_->mutex);
  const std::string normal = normal_path(directory);
  if (!state_->current.directories.contains(normal)) {
    fail("{}: cannot list: {}", directory, errno_text(ENOENT));
  }
  std::vector<std::string> names;
  const auto add = [&](const std::string& path) {
    if (path == normal || path == "." || path == "/") return;
    if (parent_directory(path) != normal) return;
    names.push_back(std::filesystem::path(path).filename().string());
  };
  for (const auto& [path, inode] : state_->current.names) add(path);
  for (const auto& path : state_->current.directories) add(path);
  std::ranges::sort(names);
  return names;
}

void SimulatedDisk::make_directories(const std::string& path) {
  const Lock lock(state_->mutex);
  const std::string normal = normal_path(path);
  if (state_->current.directories.contains(normal)) return;
  if (state_->current.names.contains(normal)) fail("{}: is a file, not a directory", path);
  make_directories(parent_directory(normal));
  SimulatedOperation make;
  make.kind = Kind::kMakeDirectory;
  make.path = normal;
  state_->record(std::move(make));
}

void SimulatedDisk::rename(const std::string& from, const std::string& to) {
  const Lock lock(state_->mutex);
  SimulatedOperation rename;
  rename.kind = Kind::kRename;
  rename.path = normal_path(from);
  rename.to = normal_path(to);
  rename.inode = state_->find(rename.path);
  if (!state_->current.directories.contains(parent_directory(rename.to))) {
    fail("{}: cannot rename to {}: {}", from, to, errno_text(ENOENT));
  }
  if (state_->current.directories.contains(rename.to)) fail("{}: is a directory", to);
  state_->record(std::move(rename));
}

void SimulatedDisk::remove(const std::string& path) {
  const Lock lock(state_->mutex);
  SimulatedOperation remove;
  remove.path = normal_path(path);
  if (const auto name = state_->current.names.find(remove.path);
      name != state_->current.names.end()) {
    remove.kind = Kind::kRemove;
    remove.inode = name->second;
  } else if (state_->current.directories.contains(remove.path)) {
    if (!list(path).empty()) fail("{}: cannot remove: {}", path, errno_text(ENOTEMPTY));
    remove.kind = Kind::kRemoveDirectory;
  } else {
    return;
  }
  state_->record(std::move(remove));
}

void SimulatedDisk::sync_directory(const std::string& path) {
  const Lock lock(state_->mutex);
  SimulatedOperation sync;
  sync.kind = Kind::kSyncDirectory;
  sync.path = normal_path(path);
  if (!state_->current.directories.contains(sync.path)) {
    fail("{}: cannot open: {}", path, errno_text(ENOENT));
  }
  if (state_->fails_now(State::Counted::kSync)) {
    fail("{}: cannot make the directory durable: {}", path, errno_text(EIO));
  }
  state_->record(std::move(sync));
}

void SimulatedDisk::write_file(const std::string& path, std::span<const std::byte> content) {
  const Lock lock(state_->mutex);
  const std::string normal = normal_path(path);
  SimulatedOperation operation;
  operation.inode = state_->find_or_create(normal);
  operation.path = normal;
  operation.kind = Kind::kTruncate;
  if (state_->current.inodes[operation.inode].size > 0) state_->record(operation);
  if (!content.empty()) {
    const bool failing = state_->fails_now(State::Counted::kWrite);
    if (failing || !state_->has_room(0, content.size())) {
      fail("{}: cannot write {} bytes: {}", path, content.size(),
           errno_text(failing ? EIO : ENOSPC));
    }
    operation.kind = Kind::kWrite;
    operation.data.assign(content.begin(), content.end());
    state_->record(operation);
    operation.data.clear();
  }
  state_->sync(operation.inode, normal);
}

std::vector<std::byte> SimulatedDisk::read_file(const std::string& path,
                                                std::uint64_t max_bytes) const {
  const Lock lock(state_->mutex);
  const SimulatedContent& content = state_->current.inodes[state_->find(normal_path(path))];
  if (content.size > max_bytes) {
    fail("{}: has {} bytes, at most {} expected", path, content.size, max_bytes);
  }
  if (state_->fails_now(State::Counted::kRead)) fail("{}: cannot read: {}", path, errno_text(EIO));
  std::vector<std::byte> bytes(content.size);
  content.read(0, bytes);
  return bytes;
}

void SimulatedDisk::set_faults(const SimulatedFaults& faults) {
  const Lock lock(state_->mutex);
  state_->faults = faults;
  std::ranges::fill(state_->counted, 0);
}

std::size_t SimulatedDisk::operation_count() const {
  const Lock lock(state_->mutex);
  return state_->log.size();
}

std::string SimulatedDisk::describe_operation(std::size_t index) const {
  const Lock lock(state_->mutex);
  CHECK(index < state_->log.size());
  const SimulatedOperation& operation = state_->log[index];
  constexpr const char* kNames[] = {
      "create", "rename",  "remove",   "make directory", "remove directory", "sync directory",
      "write",  "reserve", "truncate", "sync",           "failed sync"};
  std::string text = fmt::format("{} {}", kNames[static_cast<int>(operation.kind)], operation.path);
  if (operation.kind == Kind::kRename) text += fmt::format(" to {}", operation.to);
  if (operation.kind == Kind::kWrite) {
    text += fmt::format(" {}+{}", operation.offset, operation.data.size());
  }
  if (operation.kind == Kind::kReserve || operation.kind == Kind::kTruncate) {
    text += fmt::format(" {}", operation.offset);
  }
  return text;
}

std::unique_ptr<SimulatedDisk> SimulatedDisk::crash_state(std::size_t boundary,
                                                          const CrashPolicy& policy) const {
  const Lock lock(state_->mutex);
  CHECK(state_->options.record_log, "crash states need the log");
  CHECK(boundary <= state_->log.size(), "{} of {}", boundary, state_->log.size());
  SimulatedDiskOptions options = state_->options;
  options.seed = SplitMix(policy.seed ^ boundary).next();
  auto crashed = std::make_unique<SimulatedDisk>(options);
  if (state_->log.empty()) {
    crashed->state_->current = state_->current;
    return crashed;
  }
  if (!state_->replay || state_->replay->position() > boundary) {
    state_->replay = std::make_unique<CrashReplay>(state_->initial);
  }
  state_->replay->follow(state_->log, boundary);
  crashed->state_->current = state_->replay->crash(state_->log, policy);
  return crashed;
}

std::uint64_t SimulatedDisk::content_checksum() const {
  const Lock lock(state_->mutex);
  std::uint64_t sum = 0;
  const auto add = [&](const std::string& name, std::uint64_t size, std::uint64_t content) {
    const std::uint64_t parts[] = {sum, checksum64(std::as_bytes(std::span(name))), size, content};
    sum = checksum64(std::as_bytes(std::span(parts)));
  };
  for (const std::string& directory : state_->current.directories) add(directory, 0, 0);
  for (const auto& [name, inode] : state_->current.names) {
    const SimulatedContent& file = state_->current.inodes[inode];
    add(name, file.size, checksum64(file.bytes));
  }
  return sum;
}

void SimulatedDisk::corrupt(const std::string& path, std::uint64_t offset, unsigned bit) {
  const Lock lock(state_->mutex);
  SimulatedContent& content = state_->current.inodes[state_->find(normal_path(path))];
  CHECK(offset < content.size && bit < 8);
  if (content.bytes.size() <= offset) content.bytes.resize(offset + 1);
  content.bytes[offset] ^= static_cast<std::byte>(1u << bit);
}

}  // namespace mneme::io
