#include "io/posix_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/log.h"
#include "io/retry.h"

namespace mneme::io {
namespace {

constexpr std::uint32_t kMinAlignment = 512;
constexpr std::uint32_t kFallbackAlignment = 4096;

int open_flags(const OpenOptions& options) {
  int flags = O_CLOEXEC | (options.read_only ? O_RDONLY : O_RDWR);
  if (options.create) flags |= O_CREAT;
  if (options.create && options.exclusive) flags |= O_EXCL;
  return flags;
}

int open_retrying(const std::string& path, int flags) {
  return retry_interrupted([&] { return ::open(path.c_str(), flags, 0644); });
}

// Some file systems (tmpfs of older kernels, some FUSE ones) refuse O_DIRECT with EINVAL.
Descriptor open_for_blocks(const std::string& path, const OpenOptions& options) {
  const int flags = open_flags(options);
  int descriptor = open_retrying(path, options.direct ? flags | O_DIRECT : flags);
  if (descriptor < 0 && errno == EINVAL && options.direct) {
    // A refused O_DIRECT may have created the file already, so O_EXCL would now find it.
    const bool created = options.exclusive && ::access(path.c_str(), F_OK) == 0;
    descriptor = open_retrying(path, created ? flags & ~O_EXCL : flags);
    static std::atomic<bool> warned = false;
    if (descriptor >= 0 && !warned.exchange(true)) {
      warn("{}: its file system has no direct I/O; the page cache will blur I/O timings", path);
    }
  }
  if (descriptor < 0) {
    const int error = errno;
    fail("{}: cannot {}: {}", path, options.create ? "open or create" : "open", errno_text(error));
  }
  return Descriptor(descriptor);
}

// Two writers of one file would make a mixture of both. A killed process's lock may outlive it by
// some milliseconds. File systems without locks have to do without.
void lock_for_writing(int descriptor, const std::string& path) {
  constexpr std::chrono::seconds kPatience{1};
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return;
    if (std::chrono::steady_clock::now() >= deadline) {
      fail("{}: another process writes it; wait for it or stop it", path);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

std::uint32_t direct_io_alignment(int descriptor, const std::string& path) {
#ifdef STATX_DIOALIGN
  struct statx status = {};
  const int result = retry_interrupted(
      [&] { return ::statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status); });
  // Kernels before 4.11 have no statx(), those before 6.1 do not know the alignment.
  if (result != 0 && errno != ENOSYS && errno != EINVAL) {
    fail("{}: cannot ask for its direct-I/O alignment: {}", path, errno_text(errno));
  }
  if (result == 0 && (status.stx_mask & STATX_DIOALIGN) != 0 && status.stx_dio_offset_align != 0) {
    const std::uint32_t asked =
        std::max({status.stx_dio_offset_align, status.stx_dio_mem_align, kMinAlignment});
    return std::bit_ceil(asked);
  }
#endif
  return kFallbackAlignment;
}

}  // namespace

Descriptor open_or_fail(const std::string& path, int flags) {
  const int descriptor = open_retrying(path, flags | O_CLOEXEC);
  if (descriptor < 0) fail("{}: cannot open: {}", path, errno_text(errno));
  return Descriptor(descriptor);
}

Descriptor::Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(value_, other.value_);
  return *this;
}

Descriptor::~Descriptor() {
  // Errors of close() have no one to go to here; whoever needs durability has called sync().
  if (value_ >= 0) ::close(value_);
}

PosixFile::PosixFile(const std::string& path, const OpenOptions& options)
    : descriptor_(open_for_blocks(path, options)), path_(path) {
  struct stat status = {};
  if (::fstat(descriptor_.get(), &status) != 0)
    fail("{}: cannot open: {}", path_, errno_text(errno));
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    fail("{}: not a regular file; give the path of a file", path_);
  }
  if (!options.read_only) lock_for_writing(descriptor_.get(), path_);
  // The page cache takes any offset.
  alignment_ = options.direct ? direct_io_alignment(descriptor_.get(), path_) : kMinAlignment;
}

std::uint64_t PosixFile::size_bytes() const {
  struct stat status = {};
  if (::fstat(descriptor_.get(), &status) != 0) {
    fail("{}: cannot ask for its size: {}", path_, errno_text(errno));
  }
  if (!S_ISBLK(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  const off_t end = ::lseek(descriptor_.get(), 0, SEEK_END);
  if (end < 0) fail("{}: cannot ask for its size: {}", path_, errno_text(errno));
  return static_cast<std::uint64_t>(end);
}

void PosixFile::reserve(std::uint64_t bytes) {
  check_writable();
  if (bytes <= reserved_bytes_) return;
  const std::uint64_t old_size = size_bytes();
  const int result = retry_interrupted([&] {
    return ::fallocate(descriptor_.get(), 0, static_cast<off_t>(reserved_bytes_),
                       static_cast<off_t>(bytes - reserved_bytes_));
  });
  int error = result == 0 ? 0 : errno;
  if (error == EOPNOTSUPP || error == ENOSYS) {
    static std::atomic<bool> warned = false;
    if (!warned.exchange(true)) {
      warn("{}: its file system cannot reserve space; a full disk will show at a write", path_);
    }
    if (old_size < bytes) truncate(bytes);
    error = 0;
  }
  if (error != 0) {
    // A reservation that failed half-way may have grown the file; give the space back.
    if (size_bytes() > old_size && set_length(old_size) != 0) {
      warn("{}: cannot give back a failed reservation: {}", path_, errno_text(errno));
    }
    fail("{}: cannot reserve {} bytes (the file has {}): {}", path_, bytes, old_size,
         errno_text(error));
  }
  reserved_bytes_ = bytes;
}

void PosixFile::truncate(std::uint64_t bytes) {
  check_writable();
  if (set_length(bytes) != 0) {
    fail("{}: cannot set its length to {}: {}", path_, bytes, errno_text(errno));
  }
  reserved_bytes_ = std::min(reserved_bytes_, bytes);
}

int PosixFile::set_length(std::uint64_t bytes) {
  return retry_interrupted(
      [&] { return ::ftruncate(descriptor_.get(), static_cast<off_t>(bytes)); });
}

void PosixFile::sync() {
  check_writable();
  if (retry_interrupted([&] { return ::fdatasync(descriptor_.get()); }) == 0) return;
  const int error = errno;
  std::atomic_ref<bool>(failed_).store(true);
  fail("{}: cannot make its data durable: {}; reopen from the last checkpoint", path_,
       errno_text(error));
}

void PosixFile::check_writable() const {
  if (!std::atomic_ref<bool>(failed_).load()) return;
  fail("{}: an earlier sync failed, so its content is unknown; reopen from the last checkpoint",
       path_);
}

}  // namespace mneme::io
