#include "tools/mneme/output_buffer.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace mneme::tools {
namespace {

// A pipe that poll() calls writable takes this much without blocking.
constexpr std::size_t kPiece = PIPE_BUF;
constexpr int kPatienceMs = 100;  // between two questions whether to stop

}  // namespace

OutputBuffer::OutputBuffer(int descriptor, std::function<bool()> stop_requested)
    : descriptor_(descriptor),
      is_terminal_(::isatty(descriptor) == 1),
      stop_requested_(std::move(stop_requested)) {}

OutputBuffer::int_type OutputBuffer::overflow(int_type letter) {
  if (traits_type::eq_int_type(letter, traits_type::eof())) return traits_type::not_eof(letter);
  const char text = traits_type::to_char_type(letter);
  return xsputn(&text, 1) == 1 ? letter : traits_type::eof();
}

std::streamsize OutputBuffer::xsputn(const char* text, std::streamsize count) {
  pending_.append(text, static_cast<std::size_t>(count));
  if (pending_.size() >= kPiece && sync() != 0) return 0;
  return count;
}

int OutputBuffer::sync() {
  const std::string text = std::exchange(pending_, {});
  for (std::size_t done = 0; done < text.size();) {
    if (!wait_until_writable()) {
      error_ = EAGAIN;
      return -1;
    }
    const ssize_t written =
        ::write(descriptor_, text.data() + done, std::min(kPiece, text.size() - done));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written < 0 && errno == EIO && is_terminal_) return 0;
    if (written <= 0) {
      error_ = written == 0 ? EIO : errno;
      return -1;
    }
    done += static_cast<std::size_t>(written);
  }
  return 0;
}

bool OutputBuffer::wait_until_writable() const {
  pollfd state = {.fd = descriptor_, .events = POLLOUT, .revents = 0};
  // What poll() finds besides, an error too, write() will tell.
  while (::poll(&state, 1, kPatienceMs) <= 0) {
    if (stop_requested_()) return false;
  }
  return true;
}

bool reader_is_gone(int descriptor) {
  struct stat status = {};
  if (::fstat(descriptor, &status) != 0) return false;
  if (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode)) return false;
  pollfd state = {.fd = descriptor, .events = 0, .revents = 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & (POLLERR | POLLHUP)) != 0;
}

bool is_writable(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

}  // namespace mneme::tools
