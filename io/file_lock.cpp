#include "io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <thread>

#include "io/errno_text.h"
#include "io/error.h"
#include "io/log.h"

namespace mneme::io {
namespace {

constexpr std::chrono::milliseconds kPause{10};

// What a LOCK holds: the number of its last holder's process, or 0 while there was none.
struct Content {
  long process = 0;
  bool ours = false;
};

Content read_content(int descriptor) {
  char text[32] = {};
  const ssize_t bytes = ::pread(descriptor, text, sizeof(text) - 1, 0);
  if (bytes < 0) return {};
  if (bytes == 0) return {0, true};
  Content content;
  const auto [end, error] = std::from_chars(text, text + bytes, content.process);
  content.ours = error == std::errc() && end + 1 == text + bytes && *end == '\n';
  return content;
}

Descriptor open_lock(const std::string& path, LockKind kind) {
  const int flags = kind == LockKind::kExclusive ? O_RDWR | O_CREAT : O_RDONLY | O_NONBLOCK;
  int descriptor;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  } while (descriptor < 0 && errno == EINTR);
  const bool nothing_to_lock = kind == LockKind::kShared && (errno == ENOENT || errno == EACCES);
  if (descriptor < 0 && !nothing_to_lock) fail("{}: cannot open: {}", path, errno_text(errno));
  return Descriptor(descriptor);
}

void note_holder(int descriptor, const std::string& path) {
  const std::string process = fmt::format("{}\n", ::getpid());
  const bool noted =
      ::ftruncate(descriptor, 0) == 0 && ::pwrite(descriptor, process.data(), process.size(), 0) ==
                                             static_cast<ssize_t>(process.size());
  if (!noted) warn("{}: locked, but cannot note the process id: {}", path, errno_text(errno));
}

}  // namespace

FileLock::FileLock(const std::string& directory, LockKind kind,
                   std::chrono::milliseconds patience) {
  const std::string path = directory + "/LOCK";
  file_ = open_lock(path, kind);
  if (file_.get() < 0) return;
  if (!read_content(file_.get()).ours) {
    fail("{}: is there, but mneme has not written it; choose another directory", path);
  }
  const int operation = (kind == LockKind::kExclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (::flock(file_.get(), operation) != 0) {
    const int error = errno;
    if (error != EWOULDBLOCK && error != EINTR) {
      fail("{}: cannot lock: {}", path, errno_text(error));
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      const long holder = read_content(file_.get()).process;
      fail("{}: another process holds it{}; wait for it or stop it", path,
           holder > 0 ? fmt::format(" (pid {})", holder) : "");
    }
    std::this_thread::sleep_for(kPause);
  }
  if (kind == LockKind::kExclusive) note_holder(file_.get(), path);
}

}  // namespace mneme::io
