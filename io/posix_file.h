// An open file of the real file system: what UringFile and SyncFile have in common. It owns the
// descriptor, knows the direct-I/O alignment, and does everything that is not a block transfer.
#pragma once

#include <cstdint>
#include <string>

#include "io/disk.h"

namespace mneme::io {

// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  int get() const { return value_; }

 private:
  int value_;
};

// Opens a file with the flags of open(2), O_CLOEXEC added; a file that it creates gets mode 0644
// less the umask. Throws Error naming the path.
Descriptor open_or_fail(const std::string& path, int flags);

class PosixFile {
 public:
  // Throws Error naming the path.
  PosixFile(const std::string& path, const OpenOptions& options);

  int descriptor() const { return descriptor_.get(); }
  const std::string& path() const { return path_; }
  std::uint32_t alignment() const { return alignment_; }

  // As in BlockFile.
  std::uint64_t size_bytes() const;
  void reserve(std::uint64_t bytes);
  void truncate(std::uint64_t bytes);
  void sync();

  // Throws Error when an earlier sync failed: what the disk holds is then unknown, and a later
  // sync that succeeds would hide it.
  void check_writable() const;

 private:
  // 0, or -1 with errno set.
  int set_length(std::uint64_t bytes);

  Descriptor descriptor_;
  std::string path_;
  std::uint32_t alignment_ = 0;
  std::uint64_t reserved_bytes_ = 0;  // blocks before this offset are known to be reserved
  mutable bool failed_ = false;       // a sync; atomic
};

}  // namespace mneme::io
