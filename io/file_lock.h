// The lock of a run directory: one process at a time may train into it.
#pragma once

#include <chrono>
#include <string>

#include "io/posix_file.h"

namespace mneme::io {

// Holds an exclusive lock on `directory`/LOCK until it is destroyed or its process ends. The file
// stays, with the process id of its last holder, because removing it would let two processes lock
// two files of one name.
class FileLock {
 public:
  // A killed process's lock may outlive it by some milliseconds, so a held lock is tried again
  // until `patience` is over. Throws Error when another holder keeps it.
  explicit FileLock(const std::string& directory,
                    std::chrono::milliseconds patience = std::chrono::seconds(2));
  FileLock(FileLock&&) noexcept = default;
  FileLock& operator=(FileLock&&) noexcept = default;

 private:
  Descriptor file_;
};

}  // namespace mneme::io
