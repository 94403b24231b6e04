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

Descriptor open_lock(const std::string& path, LockKind kind) {
  const int flags = kind == LockKind::kExclusive ? O_RDWR | O_CREAT : O_RDONLY | O_NONBLOCK;
  const int descriptor =
      retry_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0644); });
  const bool nothing_to_lock = kind == LockKind::kShared && (errno == ENOENT || errno == EACCES);
  if (descriptor < 0 && !nothing_to_lock) fail("{}: cannot open: {}", path, errno_text(errno));
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

FileLock::FileLock(const std::string& directory, LockKind kind,
                   std::chrono::milliseconds patience) {
  const std::string path = directory + "/LOCK";
  file_ = open_lock(path, kind);
  if (file_.get() < 0) return;
  if (!read_content(file_.get(), path).ours) {
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
      const long holder = read_content(file_.get(), path).process;
      fail("{}: another process holds it{}; wait for it or stop it", path,
           holder > 0 ? fmt::format(" (pid {})", holder) : "");
    }
    std::this_thread::sleep_for(kPause);
  }
  if (kind == LockKind::kExclusive) note_holder(file_.get(), path);
}

}  // namespace mneme::io
