#include "io/sequential_file.h"

#include <algorithm>
#include <cstring>

#include "io/check.h"
#include "io/error.h"
#include "io/file_io.h"
#include "io/progress.h"
#include "io/round_up.h"

namespace mneme::io {
namespace {

constexpr std::size_t kWriteBytes = std::size_t{1} << 20;
// Smaller, since many files may be read at once.
constexpr std::size_t kReadBytes = std::size_t{128} << 10;

// What is written goes straight to the disk, so that it does not push everything else out of
// memory.
OpenOptions write_options() {
  OpenOptions options;
  options.create = true;
  options.depth = 1;
  options.engine = IoEngine::kSync;
  return options;
}

}  // namespace

SequentialWriter::AsideFile::AsideFile(Disk& disk, const std::string& path)
    : disk_(&disk), path_(path), file_(disk.open(path + kAsideSuffix, write_options())) {}

SequentialWriter::AsideFile::~AsideFile() {
  if (file_ == nullptr) return;
  try {
    file_.reset();
    disk_->remove(path_ + kAsideSuffix);
  } catch (const std::exception&) {
    // Whoever gave up the file knows why; what stays is recognised by its name.
  }
}

void SequentialWriter::AsideFile::take_name() {
  io::take_name(*disk_, path_);
  file_.reset();
}

SequentialWriter::SequentialWriter(Disk& disk, const std::string& path, std::uint64_t total_bytes)
    : path_(path),
      aside_(disk, path),
      staging_(kWriteBytes, aside_.file().alignment()),
      total_bytes_(total_bytes) {
  aside_.file().truncate(0);
  aside_.file().reserve(round_up(total_bytes, aside_.file().alignment()));
}

void SequentialWriter::append(std::span<const std::byte> bytes) {
  CHECK(!finished_ && written_ + staged_ + bytes.size() <= total_bytes_,
        "{}: more bytes than were declared", path_);
  while (!bytes.empty()) {
    const std::size_t piece = std::min(bytes.size(), staging_.size() - staged_);
    std::memcpy(staging_.data() + staged_, bytes.data(), piece);
    staged_ += piece;
    bytes = bytes.subspan(piece);
    if (staged_ == staging_.size()) flush(staged_);
  }
}

void SequentialWriter::flush(std::size_t bytes) {
  write_blocks(aside_.file(), written_, staging_.span().first(bytes));
  written_ += bytes;
  staged_ = 0;
}

void SequentialWriter::finish() {
  CHECK(!finished_ && written_ + staged_ == total_bytes_, "{}: {} of {} bytes were appended", path_,
        written_ + staged_, total_bytes_);
  finished_ = true;
  if (staged_ > 0) {
    const std::size_t padded = round_up(staged_, aside_.file().alignment());
    std::memset(staging_.data() + staged_, 0, padded - staged_);
    flush(padded);
  }
  aside_.file().truncate(total_bytes_);
  const Phase phase(fmt::format("{} to the disk", name_of_path(path_)));
  aside_.file().sync();
  aside_.take_name();
}

SequentialReader::SequentialReader(Disk& disk, const std::string& path)
    : file_(disk.open(path, read_once_options())),
      staging_(kReadBytes, file_->alignment()),
      size_bytes_(file_->size_bytes()) {}

void SequentialReader::read(std::span<std::byte> out) {
  while (!out.empty()) {
    if (used_ == staged_) {
      CHECK(next_ < size_bytes_, "{}: read past its end", file_->path());
      staged_ = std::min<std::uint64_t>(staging_.size(), size_bytes_ - next_);
      read_blocks(*file_, next_, staging_.span().first(round_up(staged_, file_->alignment())));
      next_ += staged_;
      used_ = 0;
    }
    const std::size_t piece = std::min(out.size(), staged_ - used_);
    std::memcpy(out.data(), staging_.data() + used_, piece);
    used_ += piece;
    out = out.subspan(piece);
  }
}

}  // namespace mneme::io
