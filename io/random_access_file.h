// A file of the real file system that is read at any position, by several threads at once. Its
// bytes are read when they are asked for, so that a file that has become shorter meanwhile is an
// Error and not the end of the program, as it would be with a mapped one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "io/posix_file.h"

namespace mneme::io {

class RandomAccessFile {
 public:
  // Never waits for a pipe: what is no regular file has no bytes. Throws Error naming the path.
  explicit RandomAccessFile(const std::string& path);

  const std::string& path() const { return path_; }
  // As it was opened.
  std::uint64_t size_bytes() const { return size_bytes_; }
  // Fills `out` from `offset` on. Throws Error naming the path, also where the file ends earlier.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  Descriptor file_;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace mneme::io
