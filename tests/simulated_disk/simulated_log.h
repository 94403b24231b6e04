// What SimulatedDisk stores and remembers: the image of a disk, the log of operations on it, and
// the replay that tells what of them a crash leaves behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::io {

// The bytes of a file. Those between bytes.size() and size are zeros, so that reserved space that
// was never written costs nothing.
struct SimulatedContent {
  std::uint64_t size = 0;
  std::vector<std::byte> bytes;

  void write(std::uint64_t offset, std::span<const std::byte> data);
  void grow(std::uint64_t new_size);
  void truncate(std::uint64_t new_size);
  // Bytes beyond the end read as zeros.
  void read(std::uint64_t offset, std::span<std::byte> out) const;
};

struct SimulatedOperation {
  enum class Kind {
    kCreate,           // path, inode
    kRename,           // path, to, inode
    kRemove,           // path
    kMakeDirectory,    // path
    kRemoveDirectory,  // path
    kSyncDirectory,    // path
    kWrite,            // inode, offset, data
    kReserve,          // inode, offset: the new least size
    kTruncate,         // inode, offset: the new size
    kSync,             // inode
    kFailedSync,       // inode
  };
  Kind kind = Kind::kCreate;
  std::uint32_t inode = 0;
  std::uint64_t offset = 0;
  std::vector<std::byte> data;
  std::vector<std::size_t> in_flight;  // of a sync: the writes, by their places in the log, that it
                                       // does not cover
  std::string path;                    // for messages where it is not listed above
  std::string to;
};

// The directory that a normalised path lies in ("." for relative names, "/" at the top).
std::string parent_directory(const std::string& path);

struct SimulatedImage {
  std::map<std::string, std::uint32_t> names;  // path -> index into inodes
  std::set<std::string> directories = {".", "/"};
  std::vector<SimulatedContent> inodes;

  void apply(const SimulatedOperation& operation);
};

// Follows a log and knows at each place what is durable and what is not yet.
class CrashReplay {
 public:
  explicit CrashReplay(const SimulatedImage& initial) : durable_(initial) {}

  // The number of operations followed so far.
  std::size_t position() const { return position_; }
  void follow(const std::vector<SimulatedOperation>& log, std::size_t boundary);
  // The disk after a crash here.
  SimulatedImage crash(const std::vector<SimulatedOperation>& log, const CrashPolicy& policy) const;

 private:
  struct Pending {
    std::size_t index = 0;     // in the log
    bool doomed = false;       // a sync failed: no later one makes it durable
    bool from_synced = false;  // of a rename's two directories
    bool to_synced = false;
  };
  void sync_content(const std::vector<SimulatedOperation>& log, const SimulatedOperation& sync);
  void sync_directory(const std::vector<SimulatedOperation>& log, const std::string& directory);

  SimulatedImage durable_;
  std::vector<Pending> pending_;
  std::size_t position_ = 0;
};

}  // namespace mneme::io
