// The lock of a directory on the real file system: `flock` on its file LOCK.
#pragma once

#include <chrono>
#include <string>

#include "io/disk.h"
#include "io/posix_file.h"

namespace mneme::io {

// Holds the lock until it is destroyed or its process ends. The file stays, with the process id of
// its last exclusive holder, unless the holder who made it takes it away again. Who has waited for
// the lock of a file that is gone by then starts again with the one of that name, so that two
// processes never hold two files of one name.
class FileLock final : public DirectoryLock {
 public:
  // A killed process's lock may outlive it by some milliseconds, so a held lock is tried again
  // until `patience` is over. Throws Error when another holder keeps it, and for a LOCK that mneme
  // has not written.
  explicit FileLock(const std::string& directory, LockKind kind = LockKind::kExclusive,
                    std::chrono::milliseconds patience = std::chrono::seconds(2));
  void remove_file() override;
  FileLock(FileLock&&) noexcept = default;
  FileLock& operator=(FileLock&&) noexcept = default;

 private:
  void wait_for(LockKind kind, std::chrono::steady_clock::time_point deadline);
  bool is_of_this_name() const;

  std::string path_;
  Descriptor file_;      // none where a shared lock found nothing to lock
  bool is_new_ = false;  // made by this lock, and held by nobody before
};

}  // namespace mneme::io
