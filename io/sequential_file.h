// Files of any size, written and read from front to back through one bounded buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "io/aligned_buffer.h"
#include "io/disk.h"

namespace mneme::io {

// The file appears under its path in finish(), whole and durable; until then it is written aside,
// and it is removed when the writer goes without finish(). A file that had the name stays until
// then, and for good when something fails.
class SequentialWriter {
 public:
  // Reserves the whole length, so that a full disk shows here. `disk` must outlive the writer.
  SequentialWriter(Disk& disk, const std::string& path, std::uint64_t total_bytes);

  // REQUIRES: no more than total_bytes in all.
  void append(std::span<const std::byte> bytes);
  // Writes the rest, syncs it and gives it its name. REQUIRES: total_bytes were appended.
  void finish();

 private:
  // A file aside that goes with the object unless it is kept.
  class AsideFile {
   public:
    AsideFile(Disk& disk, const std::string& path);
    ~AsideFile();
    AsideFile(AsideFile&&) noexcept = default;
    BlockFile& file() { return *file_; }
    void take_name();

   private:
    Disk* disk_;
    std::string path_;  // that it gets
    std::unique_ptr<BlockFile> file_;
  };
  void flush(std::size_t bytes);

  std::string path_;
  AsideFile aside_;
  AlignedBuffer staging_;
  std::size_t staged_ = 0;         // bytes in staging
  std::uint64_t written_ = 0;      // bytes of the file before staging
  std::uint64_t total_bytes_ = 0;  // of the finished file
  bool finished_ = false;
};

class SequentialReader {
 public:
  // Throws Error when the file cannot be opened.
  SequentialReader(Disk& disk, const std::string& path);

  std::uint64_t size_bytes() const { return size_bytes_; }
  // The next out.size() bytes. REQUIRES: they are there.
  void read(std::span<std::byte> out);

 private:
  std::unique_ptr<BlockFile> file_;
  AlignedBuffer staging_;
  std::size_t staged_ = 0, used_ = 0;  // bytes in staging, and those handed out
  std::uint64_t next_ = 0;             // offset behind what is staged
  std::uint64_t size_bytes_ = 0;
};

}  // namespace mneme::io
