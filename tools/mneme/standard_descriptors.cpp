#include "tools/mneme/standard_descriptors.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <string>

#include "io/errno_text.h"
#include "io/error.h"

namespace mneme::tools {
namespace {

bool is_closed(int descriptor) {
  return ::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF;
}

std::string reason(int error) {
  switch (error) {
    case 0:
      return "an earlier write failed; the disk may be full or the reader gone";
    case EBADF:
      return "standard output is closed; open it, or send it to /dev/null";
    case EPIPE:
      return "nobody reads standard output any more; let its reader read to the end";
    default:
      return io::errno_text(error);
  }
}

}  // namespace

void open_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!is_closed(descriptor)) continue;
    // The lowest free number is this one, for those below it are open.
    const int flags = descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY;
    if (::open("/dev/null", flags) != descriptor) {
      io::fail("descriptor {} is closed and /dev/null cannot be opened in its place: {}",
               descriptor, io::errno_text(errno));
    }
  }
}

void finish_standard_output() {
  // First, for it tells why it failed; std::cout has no buffer of its own.
  if (std::fflush(stdout) != 0) io::fail("{}", lost_output(errno));
  if (std::ferror(stdout) != 0 || !std::cout) io::fail("{}", lost_output(0));
  // Some file systems report a full disk no earlier than when a descriptor is closed.
  // An interrupted close has closed it.
  if (const int copy = ::dup(STDOUT_FILENO); copy >= 0 && ::close(copy) != 0 && errno != EINTR) {
    io::fail("{}", lost_output(errno));
  }
}

std::string lost_output(int error) {
  return "cannot write the output: " + reason(error);
}

}  // namespace mneme::tools
