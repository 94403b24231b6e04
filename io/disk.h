// The seam to the file system: opens block files and does the few namespace operations that
// checkpoints need. PosixDisk is the real one; SimulatedDisk (tests/simulated_disk/) is a disk in
// memory that injects faults and can produce every state that a crash may leave behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/block_file.h"
#include "io/enum_names.h"

namespace mneme::io {

enum class IoEngine {
  kAuto,   // io_uring; where it is refused, pread/pwrite with one warning
  kUring,  // io_uring or an error
  kSync,   // pread/pwrite
};
constexpr auto enum_names(IoEngine) {
  return std::to_array<EnumName<IoEngine>>(
      {{"auto", IoEngine::kAuto}, {"uring", IoEngine::kUring}, {"sync", IoEngine::kSync}});
}

struct OpenOptions {
  bool create = false;     // make the file when it is missing
  bool exclusive = false;  // with create: fail when it is there
  bool read_only = false;
  bool direct = true;  // O_DIRECT where the file system has it; with one warning where not
  std::uint32_t depth = 64;
  IoEngine engine = IoEngine::kAuto;
};

// Whoever holds the lock of a directory works in it until the object is destroyed or its process
// ends.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
  // Takes the file LOCK away, where this lock has made it and nobody has held it before: the
  // directory is then as it was. The lock holds until the object is destroyed. Throws Error.
  virtual void remove_file() = 0;
};

enum class LockKind {
  kExclusive,  // one holder, and no shared ones
  kShared,     // any number of holders that only read
};

// A file that only grows.
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  // The bytes are with the system when it returns: they outlive the process, not the machine.
  // Throws Error naming the path, as on a full disk.
  virtual void append(std::span<const std::byte> bytes) = 0;
  // Makes everything appended durable.
  virtual void sync() = 0;
};

// For reading a file once, from front to back: what the page cache is good at.
OpenOptions read_once_options();

// May be used from several threads at once.
class Disk {
 public:
  virtual ~Disk() = default;

  // Throws Error naming the path; for writing also when another process has it open for writing.
  virtual std::unique_ptr<BlockFile> open(const std::string& path, const OpenOptions& options) = 0;
  virtual bool exists(const std::string& path) const = 0;
  // False also for a path that is not there.
  virtual bool is_directory(const std::string& path) const = 0;
  // Names (not paths) of the entries of a directory, sorted.
  virtual std::vector<std::string> list(const std::string& directory) const = 0;
  // Makes a directory and the missing ones above it, durable on return.
  virtual void make_directories(const std::string& path) = 0;
  // Renames a file over another, atomically. Durable after sync_directory.
  virtual void rename(const std::string& from, const std::string& to) = 0;
  // Removes a file or an empty directory; a missing one is no error.
  virtual void remove(const std::string& path) = 0;
  // Makes creations, renames and removals inside `path` durable.
  virtual void sync_directory(const std::string& path) = 0;

  // Locks a directory that is there, against other processes and against other locks of this one.
  // An exclusive lock notes its holder in the file LOCK; a shared one writes nothing, and holds
  // nothing where there is no such file to lock. Throws Error: who holds it, or why it cannot be
  // locked (a LOCK that is not mneme's own among the reasons).
  virtual std::unique_ptr<DirectoryLock> lock(const std::string& directory, LockKind kind) = 0;
  // Opens a file for appending behind its first `keep_bytes` bytes; what follows them is cut off.
  // Makes the file when it is missing. REQUIRES keep_bytes <= its size.
  virtual std::unique_ptr<AppendFile> append(const std::string& path, std::uint64_t keep_bytes) = 0;
  // What the process may still write to the file system of a directory.
  virtual std::uint64_t available_bytes(const std::string& directory) const = 0;

  // Whole small files (manifests, deltas). write_file creates or truncates, writes and syncs the
  // file's content (not its directory). read_file throws Error when larger than max_bytes.
  virtual void write_file(const std::string& path, std::span<const std::byte> content) = 0;
  virtual std::vector<std::byte> read_file(const std::string& path,
                                           std::uint64_t max_bytes) const = 0;
};

// The real file system.
std::unique_ptr<Disk> make_posix_disk();

// How a file is called until it is whole: NAME + kAsideSuffix. Files of such names are mneme's own.
inline constexpr const char* kAsideSuffix = ".mneme-partial";

// Replaces a file, or makes it: written aside, synced and renamed, so that at any moment the old
// content or the new stands under the name. Durable on return.
void replace_file(Disk& disk, const std::string& path, std::span<const std::byte> content);
// Gives a file that is written and synced aside its name. Durable on return.
void take_name(Disk& disk, const std::string& path);

// 0 for a file that is not there.
std::uint64_t file_bytes(Disk& disk, const std::string& path);

// What a path names in its directory.
std::string name_of_path(const std::string& path);

// The directory that a path lies in; "." for a bare name.
std::string directory_of(const std::string& path);

}  // namespace mneme::io
