#include "text/corpus/byte_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/retry.h"

namespace mneme::text {
namespace {

class PlainStream : public ByteStream {
 public:
  PlainStream(const Source& source, std::uint64_t from) : file_(source) {
    if (from > 0) file_.seek(from);
  }
  std::size_t read(std::span<char> out) override { return file_.read(out); }
  std::uint64_t used_bytes() const override { return file_.read_bytes(); }

 private:
  SourceFile file_;
};

}  // namespace

SourceFile::SourceFile(const Source& source)
    : path_(source.path), file_(io::open_or_fail(source.path, O_RDONLY | O_NONBLOCK)) {
  struct stat status = {};
  if (::fstat(file_.get(), &status) != 0) {
    io::fail("{}: cannot read: {}", path_, io::errno_text(errno));
  }
  const std::int64_t modified_ns =
      std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) != source.bytes ||
      modified_ns != source.modified_ns) {
    io::fail("{}: has changed while the corpus was read; start over when nothing writes it", path_);
  }
  // Advice alone: what does not take it is read all the same.
  ::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
}

std::size_t SourceFile::read(std::span<char> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t result = io::retry_interrupted(
        [&] { return ::read(file_.get(), out.data() + done, out.size() - done); });
    if (result < 0) io::fail("{}: cannot read: {}", path_, io::errno_text(errno));
    if (result == 0) break;
    done += static_cast<std::size_t>(result);
  }
  read_ += done;
  return done;
}

void SourceFile::seek(std::uint64_t offset) {
  if (::lseek(file_.get(), static_cast<off_t>(offset), SEEK_SET) < 0) {
    io::fail("{}: cannot go to byte {}: {}", path_, offset, io::errno_text(errno));
  }
  read_ = offset;
}

std::unique_ptr<ByteStream> make_plain_stream(const Source& source, std::uint64_t from) {
  return std::make_unique<PlainStream>(source, from);
}

std::unique_ptr<ByteStream> open_byte_stream(const Source& source, std::uint64_t from) {
  CHECK(from == 0 || source.compression == Compression::kNone);
  switch (source.compression) {
    case Compression::kNone:
      return make_plain_stream(source, from);
    case Compression::kGzip:
      return make_gzip_stream(source);
    case Compression::kZstd:
      return make_zstd_stream(source);
  }
  CHECK(false);
}

}  // namespace mneme::text
