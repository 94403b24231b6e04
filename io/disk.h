// The seam to the file system: opens block files and does the few namespace operations that
// checkpoints need. PosixDisk is the real one; SimulatedDisk (simulated_disk.h) keeps everything in
// memory, injects faults, and can produce every state that a crash may leave behind.
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

// May be used from several threads at once.
class Disk {
 public:
  virtual ~Disk() = default;

  virtual std::unique_ptr<BlockFile> open(const std::string& path, const OpenOptions& options) = 0;
  virtual bool exists(const std::string& path) const = 0;
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

  // Whole small files (manifests, deltas). write_file creates or truncates, writes and syncs the
  // file's content (not its directory). read_file throws Error when larger than max_bytes.
  virtual void write_file(const std::string& path, std::span<const std::byte> content) = 0;
  virtual std::vector<std::byte> read_file(const std::string& path,
                                           std::uint64_t max_bytes) const = 0;
};

// The real file system.
std::unique_ptr<Disk> make_posix_disk();

}  // namespace mneme::io
