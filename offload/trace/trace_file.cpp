#include "offload/trace/trace_file.h"

#include <zstd.h>

#include <cstring>
#include <utility>

#include "io/check.h"
#include "io/checksum.h"
#include "io/error.h"

namespace mneme::offload {
namespace {

constexpr std::uint64_t kMagic = 0x435254454d454e4d;  // "MNEMETRC"
constexpr std::uint32_t kVersion = 2, kOldestVersion = 1;
constexpr std::uint32_t kFrameMagic = 0x52464e4d;  // "MNFR"
constexpr int kLevel = 1;                          // of compression: lists hold little more to find
constexpr std::uint32_t kMostEvents = std::uint32_t{1} << 31;  // bytes of a frame's

struct FileHead {
  std::uint64_t magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t table = 0;
  std::uint64_t rows = 0, run_id = 0, seed = 0;
  std::uint64_t zeros[2] = {};
  std::uint64_t checksum = 0;  // of what is before it
};
static_assert(sizeof(FileHead) == 64);

enum FrameFlags : std::uint32_t { kCheckpointBegins = 1 };

struct FrameHead {
  std::uint32_t magic = kFrameMagic;
  std::uint32_t flags = 0;
  std::uint32_t packed_bytes = 0, event_bytes = 0;
  std::uint64_t steps = 0;            // with kCheckpointBegins
  std::uint64_t packed_checksum = 0;  // of the bytes behind the head
  std::uint64_t checksum = 0;         // of what is before it
};
static_assert(sizeof(FrameHead) == 40);

template <typename Head>
std::uint64_t checksum_of(const Head& head) {
  return io::checksum64(std::as_bytes(std::span(&head, 1)).first(sizeof(Head) - 8));
}

}  // namespace

void TraceFile::Free::operator()(ZSTD_CCtx_s* context) const {
  ZSTD_freeCCtx(context);
}

TraceFile::TraceFile(io::Disk& disk, const std::string& path, const TraceHeader& header,
                     std::uint64_t keep_bytes)
    : file_(disk.append(path, keep_bytes)), context_(ZSTD_createCCtx()) {
  if (context_ == nullptr) throw std::bad_alloc();
  if (keep_bytes > 0) return;
  FileHead head{
      .table = header.table, .rows = header.rows, .run_id = header.run_id, .seed = header.seed};
  head.checksum = checksum_of(head);
  file_->append(std::as_bytes(std::span(&head, 1)));
}

TraceFile::~TraceFile() = default;

void TraceFile::append(std::span<const std::byte> events, std::optional<std::uint64_t> checkpoint) {
  CHECK(events.size() <= kMostEvents);
  packed_.resize(sizeof(FrameHead) + ZSTD_compressBound(events.size()));
  const std::size_t packed =
      ZSTD_compressCCtx(context_.get(), packed_.data() + sizeof(FrameHead),
                        packed_.size() - sizeof(FrameHead), events.data(), events.size(), kLevel);
  if (ZSTD_isError(packed) != 0) io::fail("compressing failed: {}", ZSTD_getErrorName(packed));
  packed_.resize(sizeof(FrameHead) + packed);
  FrameHead head{.flags = checkpoint ? kCheckpointBegins : 0u,
                 .packed_bytes = static_cast<std::uint32_t>(packed),
                 .event_bytes = static_cast<std::uint32_t>(events.size()),
                 .steps = checkpoint.value_or(0),
                 .packed_checksum = io::checksum64(std::span(packed_).subspan(sizeof(FrameHead)))};
  head.checksum = checksum_of(head);
  std::memcpy(packed_.data(), &head, sizeof(head));
  file_->append(packed_);
  if (checkpoint) file_->sync();
}

void TraceReader::Free::operator()(ZSTD_DCtx_s* context) const {
  ZSTD_freeDCtx(context);
}

TraceReader::TraceReader(io::Disk& disk, const std::string& path)
    : path_(path),
      file_(std::make_unique<io::SequentialReader>(disk, path)),
      context_(ZSTD_createDCtx()) {
  if (context_ == nullptr) throw std::bad_alloc();
  FileHead head;
  if (file_bytes() < sizeof(head)) io::fail("{}: not a trace of mneme", path);
  file_->read(std::as_writable_bytes(std::span(&head, 1)));
  if (head.magic != kMagic) io::fail("{}: not a trace of mneme", path);
  if (head.version < kOldestVersion || head.version > kVersion) {
    io::fail(
        "{}: a trace of version {}, and this mneme reads versions {} to {}; take the mneme that it "
        "is from",
        path, head.version, kOldestVersion, kVersion);
  }
  if (head.checksum != checksum_of(head)) io::fail("{}: the trace's header is damaged", path);
  header_ = {.table = head.table, .rows = head.rows, .run_id = head.run_id, .seed = head.seed};
  version_ = head.version;
  position_ = sizeof(head);
}

TraceReader::~TraceReader() = default;

void TraceReader::fail_damaged(const std::string& what) const {
  io::fail("{}: damaged in the frame from byte {} on: {}", path_, position_, what);
}

bool TraceReader::next_frame() {
  const std::uint64_t left = file_bytes() - position_;
  FrameHead head;
  if (left < sizeof(head)) {
    is_cut_ = left > 0;
    return false;
  }
  file_->read(std::as_writable_bytes(std::span(&head, 1)));
  if (head.magic != kFrameMagic || head.checksum != checksum_of(head)) {
    fail_damaged("this is no head of a frame");
  }
  if (left - sizeof(head) < head.packed_bytes) {
    is_cut_ = true;
    return false;
  }
  packed_.resize(head.packed_bytes);
  file_->read(packed_);
  if (io::checksum64(packed_) != head.packed_checksum || head.event_bytes > kMostEvents) {
    fail_damaged("its checksum is another");
  }
  checkpoint_.reset();
  if ((head.flags & kCheckpointBegins) != 0) checkpoint_ = head.steps;
  events_.resize(head.event_bytes);
  left_ = {};
  lists_.clear();
  position_ += sizeof(head) + head.packed_bytes;
  event_bytes_ += head.event_bytes;
  ++frames_;
  return true;
}

bool TraceReader::next(TraceEvent& event) {
  while (left_.empty()) {
    const std::uint64_t begin = position_;
    if (!next_frame()) return false;
    const std::size_t bytes = ZSTD_decompressDCtx(context_.get(), events_.data(), events_.size(),
                                                  packed_.data(), packed_.size());
    if (ZSTD_isError(bytes) != 0 || bytes != events_.size()) {
      io::fail("{}: damaged in the frame from byte {} on: it does not unpack", path_, begin);
    }
    left_ = events_;
  }
  try {
    event = decode(left_, lists_);
  } catch (const io::Error& error) {
    io::fail("{}: damaged in the frame that ends at byte {}: {}", path_, position_, error.what());
  }
  if (version_ == 1 && event.kind == TraceKind::kLease) {
    event.changes_rows = !event.read_only && event.account.pass == Pass::kUpdate;
  }
  return true;
}

bool is_trace_of(io::Disk& disk, const std::string& path, std::uint64_t run_id) {
  if (io::file_bytes(disk, path) < sizeof(FileHead)) return true;
  try {
    return TraceReader(disk, path).header().run_id == run_id;
  } catch (const io::Error&) {
    return false;
  }
}

std::optional<std::uint64_t> trace_bytes_until(io::Disk& disk, const std::string& path,
                                               const TraceHeader& header, std::uint64_t steps) {
  if (!disk.exists(path)) return std::nullopt;
  std::optional<std::uint64_t> found;
  try {
    TraceReader reader(disk, path);
    // What is appended has this version.
    if (reader.header() != header || reader.version() != kVersion) return std::nullopt;
    while (reader.next_frame()) {
      if (reader.checkpoint() == steps) found = reader.position();
    }
  } catch (const io::Error&) {
    // What is before the damage counts.
  }
  return found;
}

}  // namespace mneme::offload
