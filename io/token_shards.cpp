#include "io/token_shards.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "io/check.h"
#include "io/disk.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/posix_file.h"
#include "io/retry.h"

namespace mneme::io {
namespace {

constexpr std::int32_t kMagic = 20240520;
constexpr std::int32_t kShardVersion = 1;
using Header = std::array<std::int32_t, 256>;
constexpr std::size_t kBufferTokens = std::size_t{1} << 19;

// A file that is there already is somebody's: another writer's, or one that was killed.
Descriptor create_or_fail(const std::string& path) {
  const int descriptor = retry_interrupted(
      [&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644); });
  if (descriptor < 0 && errno == EEXIST) {
    fail("{}: is there already; remove it when no other program is writing the shard", path);
  }
  if (descriptor < 0) fail("{}: cannot create: {}", path, errno_text(errno));
  return Descriptor(descriptor);
}

// Fills `out` from the file's offset.
void read_all(const Descriptor& file, const std::string& path, std::uint64_t offset,
              std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t result = retry_interrupted(
        [&] { return ::pread(file.get(), out.data(), out.size(), static_cast<off_t>(offset)); });
    if (result < 0) fail("{}: cannot read: {}", path, errno_text(errno));
    if (result == 0) {
      fail(
          "{}: has become shorter while it was in use: it ends at byte {}; put back the whole "
          "shard",
          path, offset);
    }
    out = out.subspan(static_cast<std::size_t>(result));
    offset += static_cast<std::uint64_t>(result);
  }
}

}  // namespace

bool is_token_shard(const std::string& path) {
  // A pipe is no shard, and must not be waited for.
  const Descriptor file = open_or_fail(path, O_RDONLY | O_NONBLOCK);
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) fail("{}: cannot read: {}", path, errno_text(errno));
  std::int32_t magic = 0;
  if (!S_ISREG(status.st_mode) || status.st_size < off_t{sizeof(magic)}) return false;
  read_all(file, path, 0, std::as_writable_bytes(std::span(&magic, 1)));
  return magic == kMagic;
}

TokenShard::TokenShard(const std::string& path)
    : path_(path), file_(open_or_fail(path, O_RDONLY | O_NONBLOCK)) {
  struct stat status = {};
  if (::fstat(file_.get(), &status) != 0) fail("{}: cannot read: {}", path, errno_text(errno));
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || bytes < sizeof(Header)) {
    fail("{}: not a token shard ({} bytes, the header alone has {})", path, bytes, sizeof(Header));
  }
  Header header;
  read_all(file_, path, 0, std::as_writable_bytes(std::span(header)));
  if (header[0] != kMagic) fail("{}: not a token shard (magic {})", path, header[0]);
  if (header[1] != kShardVersion) {
    fail("{}: token shard of version {}, this program reads {}", path, header[1], kShardVersion);
  }
  if (header[2] <= 0) fail("{}: the shard holds no tokens", path);
  count_ = static_cast<std::uint64_t>(header[2]);
  const std::uint64_t wanted = sizeof(Header) + count_ * sizeof(std::uint16_t);
  if (bytes != wanted) {
    fail("{}: has {} bytes, its {} tokens need {}; the shard is cut short or damaged", path, bytes,
         count_, wanted);
  }
}

void TokenShard::read(std::uint64_t first, std::span<std::uint16_t> out) const {
  CHECK(first <= count_ && out.size() <= count_ - first);
  read_all(file_, path_, sizeof(Header) + first * sizeof(std::uint16_t),
           std::as_writable_bytes(out));
}

TokenShardWriter::TokenShardWriter(const std::string& path)
    : path_(path), partial_path_(path + ".partial"), file_(create_or_fail(partial_path_)) {
  buffer_.reserve(kBufferTokens);
}

TokenShardWriter::~TokenShardWriter() {
  if (!finished_) std::remove(partial_path_.c_str());
}

void TokenShardWriter::append(std::span<const std::uint16_t> tokens) {
  CHECK(!finished_);
  if (tokens.size() > kMaxTokens - count_) {
    fail("{}: a token shard holds at most {} tokens; start another one", path_, kMaxTokens);
  }
  count_ += tokens.size();
  while (!tokens.empty()) {
    const std::size_t piece = std::min(tokens.size(), kBufferTokens - buffer_.size());
    buffer_.insert(buffer_.end(), tokens.begin(),
                   tokens.begin() + static_cast<std::ptrdiff_t>(piece));
    tokens = tokens.subspan(piece);
    if (buffer_.size() == kBufferTokens) flush();
  }
}

void TokenShardWriter::finish() {
  CHECK(!finished_);
  if (count_ == 0) fail("{}: a token shard needs at least one token", path_);
  flush();
  Header header = {kMagic, kShardVersion, static_cast<std::int32_t>(count_)};
  write(header.data(), sizeof(header), 0);
  if (retry_interrupted([&] { return ::fdatasync(file_.get()); }) != 0) {
    fail("{}: cannot make its data durable: {}", partial_path_, errno_text(errno));
  }
  make_posix_disk()->rename(partial_path_, path_);
  finished_ = true;
}

void TokenShardWriter::flush() {
  write(buffer_.data(), buffer_.size() * sizeof(std::uint16_t),
        sizeof(Header) + flushed_ * sizeof(std::uint16_t));
  flushed_ += buffer_.size();
  buffer_.clear();
}

void TokenShardWriter::write(const void* data, std::size_t bytes, std::uint64_t offset) {
  const auto* at = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const ssize_t result = retry_interrupted(
        [&] { return ::pwrite(file_.get(), at, bytes, static_cast<off_t>(offset)); });
    if (result <= 0) {
      fail("{}: cannot write {} bytes: {}", partial_path_, bytes,
           errno_text(result == 0 ? EIO : errno));
    }
    at += result;
    bytes -= static_cast<std::size_t>(result);
    offset += static_cast<std::uint64_t>(result);
  }
}

}  // namespace mneme::io
