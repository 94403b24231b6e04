// The lock of a directory on the real file system: `flock` on its file LOCK.
#pragma once

#include <chrono>
#include <string>

#include "io/disk.h"
#include "io/posix_file.h"

namespace mneme::io {

// Holds the lock until it is destroyed or its process ends. The file stays, with the process id of
// its last exclusive holder, because removing it would let two processes lock two files of one
// name.
class FileLock final : public DirectoryLock {
 public:
  // A killed process's lock may outlive it by some milliseconds, so a held lock is tried again
  // until `patience` is over. Throws Error when another holder keeps it, and for a LOCK that mneme
  // has not written.
  explicit FileLock(const std::string& directory, LockKind kind = LockKind::kExclusive,
                    std::chrono::milliseconds patience = std::chrono::seconds(2));
  FileLock(FileLock&&) noexcept = default;
  FileLock& operator=(FileLock&&) noexcept = default;

 private:
  Descriptor file_;  // none where a shared lock found nothing to lock
};

}  // namespace mneme::io
