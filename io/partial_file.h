// A file that is being written, under a name of its own, and from which the work can go on after
// the process was killed. It is left where it is when the object goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/disk.h"

namespace mneme::io {

class PartialFile {
 public:
  // Without keep_bytes makes the file, which must not be there; with it, keeps that many bytes of
  // the one that is there. Throws Error. `disk` must outlive the object.
  PartialFile(Disk& disk, const std::string& path, std::optional<std::uint64_t> keep_bytes);

  // Buffered: a full disk may show at a later call.
  void append(std::span<const std::byte> bytes);
  // Makes everything appended durable.
  void sync();
  // Replaces the first bytes of the file, and makes everything durable; the last call but close().
  // REQUIRES: front.size() is a multiple of 512, and as many bytes were appended.
  void replace_front(std::span<const std::byte> front);
  void close();

 private:
  void flush();

  Disk& disk_;
  std::string path_;
  std::unique_ptr<AppendFile> file_;
  std::vector<std::byte> buffer_;
};

}  // namespace mneme::io
