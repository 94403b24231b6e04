#include "io/random_access_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "io/errno_text.h"
#include "io/error.h"
#include "io/retry.h"

namespace mneme::io {

RandomAccessFile::RandomAccessFile(const std::string& path)
    : path_(path), file_(open_or_fail(path, O_RDONLY | O_NONBLOCK)) {
  struct stat status = {};
  if (::fstat(file_.get(), &status) != 0) fail("{}: cannot read: {}", path, errno_text(errno));
  if (S_ISREG(status.st_mode)) size_bytes_ = static_cast<std::uint64_t>(status.st_size);
}

void RandomAccessFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t result = retry_interrupted(
        [&] { return ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset)); });
    if (result < 0) fail("{}: cannot read: {}", path_, errno_text(errno));
    if (result == 0) {
      fail(
          "{}: has become shorter while it was in use: it ends at byte {}; put back the whole file",
          path_, offset);
    }
    out = out.subspan(static_cast<std::size_t>(result));
    offset += static_cast<std::uint64_t>(result);
  }
}

}  // namespace mneme::io
