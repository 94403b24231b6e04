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

// The process that wrote its number into the lock file, or 0.
long holder_of(int descriptor) {
  char text[32] = {};
  const ssize_t bytes = ::pread(descriptor, text, sizeof(text) - 1, 0);
  long process = 0;
  if (bytes > 0) std::from_chars(text, text + bytes, process);
  return process;
}

}  // namespace

FileLock::FileLock(const std::string& directory, std::chrono::milliseconds patience) {
  const std::string path = directory + "/LOCK";
  file_ = Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (file_.get() < 0) fail("{}: cannot open: {}", path, errno_text(errno));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    if (error != EWOULDBLOCK && error != EINTR) {
      fail("{}: cannot lock: {}", path, errno_text(error));
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      const long holder = holder_of(file_.get());
      fail("{}: another process holds it{}; wait for it or stop it", path,
           holder > 0 ? fmt::format(" (pid {})", holder) : "");
    }
    std::this_thread::sleep_for(kPause);
  }
  const std::string process = fmt::format("{}\n", ::getpid());
  const bool noted = ::ftruncate(file_.get(), 0) == 0 &&
                     ::pwrite(file_.get(), process.data(), process.size(), 0) ==
                         static_cast<ssize_t>(process.size());
  if (!noted) warn("{}: locked, but cannot note the process id: {}", path, errno_text(errno));
}

}  // namespace mneme::io
