#include "io/partial_file.h"

#include <algorithm>

#include "io/aligned_buffer.h"
#include "io/check.h"
#include "io/error.h"
#include "io/file_io.h"

namespace mneme::io {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

// Through the page cache, where a short file may be written in any pieces of 512 bytes.
OpenOptions cached_options() {
  OpenOptions options = read_once_options();
  options.read_only = false;
  return options;
}

// A file that is there already is somebody's: another writer's, or one that was killed.
void make_file(Disk& disk, const std::string& path) {
  OpenOptions options = cached_options();
  options.create = options.exclusive = true;
  disk.open(path, options);
  disk.sync_directory(directory_of(path));
}

void check_length(Disk& disk, const std::string& path, std::uint64_t keep_bytes) {
  if (!disk.exists(path)) fail("{}: is gone, the work cannot go on; begin anew", path);
  const std::uint64_t bytes = file_bytes(disk, path);
  if (bytes < keep_bytes) {
    fail("{}: has {} bytes, but {} were written; the work cannot go on, remove it and begin anew",
         path, bytes, keep_bytes);
  }
}

}  // namespace

PartialFile::PartialFile(Disk& disk, const std::string& path,
                         std::optional<std::uint64_t> keep_bytes)
    : disk_(disk), path_(path) {
  if (keep_bytes) {
    check_length(disk, path, *keep_bytes);
  } else {
    make_file(disk, path);
  }
  file_ = disk.append(path, keep_bytes.value_or(0));
  buffer_.reserve(kBufferBytes);
}

void PartialFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t piece = std::min(bytes.size(), kBufferBytes - buffer_.size());
    buffer_.insert(buffer_.end(), bytes.begin(),
                   bytes.begin() + static_cast<std::ptrdiff_t>(piece));
    bytes = bytes.subspan(piece);
    if (buffer_.size() == kBufferBytes) flush();
  }
}

void PartialFile::flush() {
  if (buffer_.empty()) return;
  CHECK(file_ != nullptr);
  file_->append(buffer_);
  buffer_.clear();
}

void PartialFile::sync() {
  flush();
  file_->sync();
}

void PartialFile::replace_front(std::span<const std::byte> front) {
  sync();
  close();
  const auto file = disk_.open(path_, cached_options());
  CHECK(front.size() % file->alignment() == 0 && front.size() <= file->size_bytes());
  AlignedBuffer blocks(front.size(), file->alignment());
  std::ranges::copy(front, blocks.data());
  write_blocks(*file, 0, blocks.span());
  file->sync();
}

void PartialFile::close() {
  flush();
  file_.reset();
}

}  // namespace mneme::io
