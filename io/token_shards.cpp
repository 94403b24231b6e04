#include "io/token_shards.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "io/check.h"
#include "io/disk.h"
#include "io/errno_text.h"
#include "io/error.h"

namespace mneme::io {
namespace {

constexpr std::int32_t kMagic = 20240520;
constexpr std::int32_t kVersion = 1;
using Header = std::array<std::int32_t, 256>;
constexpr std::size_t kBufferTokens = std::size_t{1} << 19;

Descriptor open_or_fail(const std::string& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (descriptor < 0) fail("{}: cannot open: {}", path, errno_text(errno));
  return Descriptor(descriptor);
}

}  // namespace

bool is_token_shard(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) fail("{}: cannot open: {}", path, errno_text(errno));
  if (!S_ISREG(status.st_mode)) return false;  // opening a pipe would wait
  const Descriptor file = open_or_fail(path, O_RDONLY);
  std::int32_t magic = 0;
  const ssize_t bytes = ::pread(file.get(), &magic, sizeof(magic), 0);
  if (bytes < 0) fail("{}: cannot read: {}", path, errno_text(errno));
  return bytes == ssize_t{sizeof(magic)} && magic == kMagic;
}

TokenShard::TokenShard(const std::string& path) : path_(path) {
  const Descriptor file = open_or_fail(path, O_RDONLY);
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) fail("{}: {}", path, errno_text(errno));
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || bytes < sizeof(Header)) {
    fail("{}: not a token shard ({} bytes, the header alone has {})", path, bytes, sizeof(Header));
  }
  Header header;
  if (::pread(file.get(), header.data(), sizeof(header), 0) != ssize_t{sizeof(header)}) {
    fail("{}: cannot read its header", path);
  }
  if (header[0] != kMagic) fail("{}: not a token shard (magic {})", path, header[0]);
  if (header[1] != kVersion) {
    fail("{}: token shard of version {}, this program reads {}", path, header[1], kVersion);
  }
  if (header[2] <= 0) fail("{}: the shard holds no tokens", path);
  const std::uint64_t wanted =
      sizeof(Header) + static_cast<std::uint64_t>(header[2]) * sizeof(std::uint16_t);
  if (bytes != wanted) {
    fail("{}: has {} bytes, its {} tokens need {}; the shard is cut short or damaged", path, bytes,
         header[2], wanted);
  }
  mapping_ = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapping_ == MAP_FAILED) {
    mapping_ = nullptr;
    fail("{}: cannot map: {}", path, errno_text(errno));
  }
  mapping_bytes_ = bytes;
}

TokenShard::TokenShard(TokenShard&& other) noexcept
    : path_(std::move(other.path_)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      mapping_bytes_(std::exchange(other.mapping_bytes_, 0)) {}

TokenShard& TokenShard::operator=(TokenShard&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  return *this;
}

TokenShard::~TokenShard() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_bytes_);
}

std::span<const std::uint16_t> TokenShard::tokens() const {
  const auto* first = reinterpret_cast<const std::uint16_t*>(
      static_cast<const std::byte*>(mapping_) + sizeof(Header));
  return {first, (mapping_bytes_ - sizeof(Header)) / sizeof(std::uint16_t)};
}

TokenShardWriter::TokenShardWriter(const std::string& path)
    : path_(path),
      partial_path_(path + ".partial"),
      file_(open_or_fail(partial_path_, O_WRONLY | O_CREAT | O_TRUNC)) {
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
  Header header = {kMagic, kVersion, static_cast<std::int32_t>(count_)};
  write(header.data(), sizeof(header), 0);
  if (::fdatasync(file_.get()) != 0) {
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
    const ssize_t result = ::pwrite(file_.get(), at, bytes, static_cast<off_t>(offset));
    if (result < 0 && errno == EINTR) continue;
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
