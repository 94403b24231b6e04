#include "io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <thread>

#include "io/errno_text.h"
#include "io/error.h"
#include "io/log.h"
#include "io/retry.h"

namespace mneme::io {
namespace {

constexpr std::chrono::milliseconds kPause{10};

// What a LOCK holds: the number of its last holder's process, or 0 while there was none.
struct Content {
  long process = 0;
  bool ours = false;
};

Content read_content(int descriptor, const std::string& path) {
  char text[32] = {};
  const ssize_t bytes =
      retry_interrupted([&] { return ::pread(descriptor, text, sizeof(text) - 1, 0); });
  if (bytes < 0) fail("{}: cannot read: {}", path, errno_text(errno));
  if (bytes == 0) return {0, true};
  Content content;
  const auto [end, error] = std::from_chars(text, text + bytes, content.process);
  content.ours = error == std::errc() && end + 1 == text + bytes && *end == '\n';
  return content;
}

// is_new: whether this call has made the file.
Descriptor open_lock(const std::string& path, LockKind kind, bool& is_new) {
  const auto open_with = [&](int flags) {
    return retry_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0644); });
  };
  is_new = false;
  int descriptor = -1;
  if (kind == LockKind::kShared) {
    descriptor = open_with(O_RDONLY | O_NONBLOCK);
    if (descriptor < 0 && (errno == ENOENT || errno == EACCES)) return Descriptor();
  } else {
    descriptor = open_with(O_RDWR | O_CREAT | O_EXCL);
    is_new = descriptor >= 0;
    if (descriptor < 0 && errno == EEXIST) descriptor = open_with(O_RDWR | O_CREAT);
  }
  if (descriptor < 0) fail("{}: cannot open: {}", path, errno_text(errno));
  return Descriptor(descriptor);
}

bool write_content(int descriptor, const std::string& text) {
  if (retry_interrupted([&] { return ::ftruncate(descriptor, 0); }) != 0) return false;
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = retry_interrupted([&] {
      return ::pwrite(descriptor, text.data() + done, text.size() - done, static_cast<off_t>(done));
    });
    if (written < 0) return false;
    done += static_cast<std::size_t>(written);
  }
  return true;
}

void note_holder(int descriptor, const std::string& path) {
  if (write_content(descriptor, fmt::format("{}\n", ::getpid()))) return;
  warn("{}: locked, but cannot note the process id: {}", path, errno_text(errno));
  // Half a number would not be recognised as mneme's own; an empty file is.
  if (!write_content(descriptor, "")) warn("{}: remove it before the next run", path);
}

}  // namespace

FileLock::FileLock(const std::string& directory, LockKind kind, std::chrono::milliseconds patience)
    : path_(directory + "/LOCK") {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  do {
    file_ = open_lock(path_, kind, is_new_);
    if (file_.get() < 0) return;
    if (!read_content(file_.get(), path_).ours) {
      fail("{}: is there, but mneme has not written it; choose another directory", path_);
    }
    wait_for(kind, deadline);
  } while (!is_of_this_name());
  if (kind != LockKind::kExclusive) return;
  is_new_ = is_new_ && read_content(file_.get(), path_).process == 0;
  note_holder(file_.get(), path_);
}

void FileLock::wait_for(LockKind kind, std::chrono::steady_clock::time_point deadline) {
  const int operation = (kind == LockKind::kExclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
  while (::flock(file_.get(), operation) != 0) {
    const int error = errno;
    if (error != EWOULDBLOCK && error != EINTR) {
      fail("{}: cannot lock: {}", path_, errno_text(error));
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      const long holder = read_content(file_.get(), path_).process;
      fail("{}: another process holds it{}; wait for it or stop it", path_,
           holder > 0 ? fmt::format(" (pid {})", holder) : "");
    }
    std::this_thread::sleep_for(kPause);
  }
}

// Whether the file that is locked is still what the name stands for.
bool FileLock::is_of_this_name() const {
  struct stat locked = {};
  struct stat named = {};
  if (retry_interrupted([&] { return ::fstat(file_.get(), &locked); }) != 0)
    fail("{}: cannot look at it: {}", path_, errno_text(errno));
  if (retry_interrupted([&] { return ::stat(path_.c_str(), &named); }) != 0) {
    if (errno == ENOENT) return false;
    fail("{}: cannot look at it: {}", path_, errno_text(errno));
  }
  return locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

void FileLock::remove_file() {
  if (!is_new_) return;
  if (retry_interrupted([&] { return std::remove(path_.c_str()); }) != 0 && errno != ENOENT) {
    fail("{}: cannot remove: {}", path_, errno_text(errno));
  }
  is_new_ = false;
}

}  // namespace mneme::io
