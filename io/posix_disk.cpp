#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "io/check.h"
#include "io/disk.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/file_lock.h"
#include "io/log.h"
#include "io/posix_file.h"
#include "io/progress.h"
#include "io/retry.h"
#include "io/sync_file.h"
#include "io/uring_file.h"
#include "io/utf8.h"

namespace mneme::io {
namespace {

namespace fs = std::filesystem;

// Of a file that is read whole: long enough for any disk, and short enough to say how far it is.
constexpr std::size_t kReadPiece = std::size_t{32} << 20;

void write_all(const Descriptor& file, const std::string& path,
               std::span<const std::byte> content) {
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t result = retry_interrupted(
        [&] { return ::write(file.get(), content.data() + done, content.size() - done); });
    if (result <= 0) {
      fail("{}: cannot write {} bytes: {}", path, content.size(),
           errno_text(result == 0 ? EIO : errno));
    }
    done += static_cast<std::size_t>(result);
  }
}

void sync_data(const Descriptor& file, const std::string& path) {
  if (retry_interrupted([&] { return ::fdatasync(file.get()); }) != 0) {
    fail("{}: cannot make its data durable: {}", path, errno_text(errno));
  }
}

std::vector<std::string> names_in(const std::string& directory, std::error_code& error) {
  std::vector<std::string> names;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  return names;
}

class PosixAppendFile final : public AppendFile {
 public:
  PosixAppendFile(const std::string& path, std::uint64_t keep_bytes)
      : path_(path), file_(open_or_fail(path, O_WRONLY | O_CREAT | O_APPEND)) {
    const auto bytes = static_cast<off_t>(keep_bytes);
    if (retry_interrupted([&] { return ::ftruncate(file_.get(), bytes); }) != 0) {
      fail("{}: cannot set its length to {}: {}", path, keep_bytes, errno_text(errno));
    }
  }
  void append(std::span<const std::byte> bytes) override { write_all(file_, path_, bytes); }
  void sync() override { sync_data(file_, path_); }

 private:
  std::string path_;
  Descriptor file_;
};

class PosixDisk final : public Disk {
 public:
  std::unique_ptr<BlockFile> open(const std::string& path, const OpenOptions& options) override {
    if (options.depth < 1 || options.depth > kMaxUringDepth) {
      fail("{}: I/O depth {} is outside 1 to {}", path, options.depth, kMaxUringDepth);
    }
    PosixFile file(path, options);
    if (options.engine == IoEngine::kSync) return make_sync_file(std::move(file), options.depth);
    std::string refusal;
    if (auto opened = make_uring_file(file, options.depth, refusal)) return opened;
    if (options.engine == IoEngine::kUring) {
      fail("{}: the system refuses io_uring: {}; choose the sync engine", path, refusal);
    }
    static std::atomic<bool> warned = false;
    if (!warned.exchange(true)) {
      warn("{}: the system refuses io_uring ({}); using pread and pwrite, one transfer at a time",
           path, refusal);
    }
    return make_sync_file(std::move(file), options.depth);
  }

  bool exists(const std::string& path) const override {
    std::error_code error;
    const bool found =
        retry_interrupted(error, [&](std::error_code& code) { return fs::exists(path, code); });
    if (error) fail("{}: cannot be looked for: {}", path, errno_text(error.value()));
    return found;
  }

  bool is_directory(const std::string& path) const override {
    std::error_code ignored;  // what cannot be looked at is no directory to work in
    return retry_interrupted(ignored,
                             [&](std::error_code& code) { return fs::is_directory(path, code); });
  }

  std::unique_ptr<DirectoryLock> lock(const std::string& directory, LockKind kind) override {
    return std::make_unique<FileLock>(directory, kind);
  }

  std::unique_ptr<AppendFile> append(const std::string& path, std::uint64_t keep_bytes) override {
    return std::make_unique<PosixAppendFile>(path, keep_bytes);
  }

  std::uint64_t available_bytes(const std::string& directory) const override {
    struct statvfs status = {};
    if (retry_interrupted([&] { return ::statvfs(directory.c_str(), &status); }) != 0) {
      fail("{}: cannot ask for its free space: {}", directory, errno_text(errno));
    }
    return std::uint64_t{status.f_bavail} * status.f_frsize;
  }

  std::vector<std::string> list(const std::string& directory) const override {
    std::error_code error;
    std::vector<std::string> names =
        retry_interrupted(error, [&](std::error_code& code) { return names_in(directory, code); });
    if (error) fail("{}: cannot list: {}", directory, errno_text(error.value()));
    std::ranges::sort(names);
    return names;
  }

  void make_directories(const std::string& path) override {
    const fs::path parent = fs::path(path).lexically_normal().parent_path();
    std::error_code error;
    if (is_directory(path)) return;
    if (!parent.empty() && parent != path && !exists(parent.string())) {
      make_directories(parent.string());
    }
    retry_interrupted(error,
                      [&](std::error_code& code) { return fs::create_directory(path, code); });
    if (error) fail("{}: cannot make the directory: {}", path, errno_text(error.value()));
    sync_directory(parent.empty() ? "." : parent.string());
  }

  void rename(const std::string& from, const std::string& to) override {
    if (retry_interrupted([&] { return ::rename(from.c_str(), to.c_str()); }) != 0) {
      fail("{}: cannot rename to {}: {}", from, to, errno_text(errno));
    }
  }

  void remove(const std::string& path) override {
    const int result = retry_interrupted([&] { return std::remove(path.c_str()); });
    if (result == 0 || errno == ENOENT) return;
    fail("{}: cannot remove: {}", path, errno_text(errno));
  }

  void sync_directory(const std::string& path) override {
    const Descriptor directory = open_or_fail(path, O_RDONLY | O_DIRECTORY);
    if (retry_interrupted([&] { return ::fsync(directory.get()); }) != 0) {
      fail("{}: cannot make the directory durable: {}", path, errno_text(errno));
    }
  }

  void write_file(const std::string& path, std::span<const std::byte> content) override {
    const Descriptor file = open_or_fail(path, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(file, path, content);
    sync_data(file, path);
  }

  std::vector<std::byte> read_file(const std::string& path,
                                   std::uint64_t max_bytes) const override {
    // A pipe is no file to read from, and must not be waited for.
    const Descriptor file = open_or_fail(path, O_RDONLY | O_NONBLOCK);
    struct stat status = {};
    if (::fstat(file.get(), &status) != 0) fail("{}: cannot read: {}", path, errno_text(errno));
    if (!S_ISREG(status.st_mode)) fail("{}: not a regular file", path);
    const auto bytes = static_cast<std::uint64_t>(status.st_size);
    if (bytes > max_bytes) fail("{}: has {} bytes, at most {} expected", path, bytes, max_bytes);
    std::vector<std::byte> content(bytes);
    std::size_t done = 0;
    std::optional<Phase> phase;
    if (bytes > kReadPiece) phase.emplace("reading " + printable(name_of_path(path)), bytes);
    while (done < content.size()) {
      const std::size_t piece = std::min(content.size() - done, kReadPiece);
      const ssize_t result =
          retry_interrupted([&] { return ::read(file.get(), content.data() + done, piece); });
      if (result < 0) fail("{}: cannot read: {}", path, errno_text(errno));
      if (result == 0) fail("{}: became shorter while it was read", path);
      done += static_cast<std::size_t>(result);
      if (phase) phase->reach(done);
    }
    return content;
  }
};

}  // namespace

std::unique_ptr<Disk> make_posix_disk() {
  return std::make_unique<PosixDisk>();
}

}  // namespace mneme::io
