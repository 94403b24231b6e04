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
      return text + "; free some space or use another disk";
    case EDQUOT:
      return text + "; free some space of yours, or have the quota raised";
    case EFBIG:
      return text + "; raise the limit on file sizes (ulimit -f) or use another file system";
    case EACCES:
    case EPERM:
      return text + "; check the owner and the permissions";
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
      return text + "; check the path";
    case EEXIST:
    case ENOTEMPTY:
      return text + "; move away what is there or use another path";
    case ENAMETOOLONG:
      return text + "; use a shorter path";
    case ELOOP:
      return text + "; check the symbolic links of the path";
    case EMFILE:
      return text + "; raise the limit on open files (ulimit -n)";
    case ENFILE:
      return text + "; close other programs or raise the system's limit (fs.file-max)";
    case EAGAIN:
      return text + "; the system is short of something, try again while less is running";
    case ENOMEM:
      return text + "; free some memory, or raise its limits (ulimit -v, ulimit -l)";
    case EROFS:
      return text + "; mount the file system writable or use another one";
    case EIO:
      return text + "; the device may be failing, see the kernel's log";
    case ENODEV:
    case ENXIO:
      return text + "; check that the device is there and is the right one";
    case EBUSY:
    case ETXTBSY:
      return text + "; stop what uses it";
    case ENOLCK:
      return text + "; use a file system that has locks, or mount it with them";
    case ESTALE:
      return text + "; mount the network file system again";
    case ENODATA:
      return text + "; the file is shorter than it was: restore it from a backup";
    case EOPNOTSUPP:
    case ENOSYS:
      return text + "; the file system or the kernel cannot do this, use another one";
    default:
      return text;
  }
}

}  // namespace mneme::io
