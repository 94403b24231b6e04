// What an errno value means and what the user can do about it, for the end of an Error's line.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace mneme::io {

inline std::string errno_text(int error) {
  std::string text = std::generic_category().message(error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return text + "; free some space or use another disk";
    case EACCES:
    case EPERM:
      return text + "; check the owner and the permissions";
    case ENOENT:
      return text + "; check the path";
    case EMFILE:
    case ENFILE:
      return text + "; raise the limit of open files (ulimit -n)";
    case ECANCELED:
      return text +
             "; the kernel could not start a thread for io_uring; raise the limit of "
             "processes (ulimit -u) or choose the sync engine";
    case EROFS:
      return text + "; mount the file system writable or use another one";
    case EIO:
      return text + "; the device may be failing, see the kernel's log";
    default:
      return text;
  }
}

}  // namespace mneme::io
