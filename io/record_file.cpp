#include "io/record_file.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "io/aligned_buffer.h"
#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/file_io.h"
#include "io/log.h"
#include "io/round_up.h"

namespace mneme::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::uint64_t kFileMagic = 0x53574f52454d4e4d;  // "MNEMROWS"
constexpr std::uint64_t kSlotMagic = 0x444345524d454e4d;  // "MNEMRECD"
// Records of version 1 are records of version 2; a program that knows only version 1 would take
// some of version 2 for something else.
constexpr std::uint32_t kVersion = 2, kOldestVersion = 1;
// The header block is at least a page, so that slots of 4096 bytes start on pages.
constexpr std::uint32_t kMinHeaderBytes = 4096;

struct FileHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t alignment;
  std::uint32_t slot_bytes;
  std::uint32_t payload_bytes;
  std::uint64_t table_id;
  std::uint64_t checksum;  // of the fields before it
};
static_assert(sizeof(FileHeader) == 40);

struct SlotHeader {
  std::uint64_t magic;
  std::uint64_t row;
  std::uint64_t slot;
  std::uint64_t generation;
  std::uint32_t payload_bytes;
  std::uint32_t zero;
  std::uint64_t checksum;  // of row, slot, generation, payload bytes, table identity and payload
  std::array<std::uint64_t, 2> padding;
};
static_assert(sizeof(SlotHeader) == RecordFile::kPayloadOffset);

std::uint64_t header_checksum(const FileHeader& header) {
  return XXH3_64bits(&header, offsetof(FileHeader, checksum));
}

std::uint64_t record_checksum(const RecordKey& key, const RecordFileShape& shape,
                              const std::byte* payload) {
  const std::array<std::uint64_t, 6> parts = {
      key.row,        key.slot,
      key.generation, shape.payload_bytes,
      shape.table_id, XXH3_64bits(payload, shape.payload_bytes)};
  return XXH3_64bits(parts.data(), sizeof(parts));
}

std::uint32_t header_bytes_for(std::uint32_t alignment) {
  return std::max(alignment, kMinHeaderBytes);
}

// The slot size of a payload, or an Error when it leaves 32 bits.
std::uint32_t slot_bytes_for(const std::string& path, std::uint32_t payload_bytes,
                             std::uint32_t alignment) {
  const std::uint64_t bytes =
      round_up(std::uint64_t{RecordFile::kPayloadOffset} + payload_bytes, alignment);
  if (payload_bytes == 0 || bytes > std::numeric_limits<std::uint32_t>::max()) {
    fail("{}: records of {} bytes are not supported; choose another row width", path,
         payload_bytes);
  }
  return static_cast<std::uint32_t>(bytes);
}

// Durable when it returns. The header is part of one sector, which a disk writes whole or not at
// all.
void write_header(BlockFile& file, FileHeader header) {
  header.version = kVersion;
  header.checksum = header_checksum(header);
  AlignedBuffer block(header_bytes_for(header.alignment), header.alignment);
  std::memcpy(block.data(), &header, sizeof(header));
  write_blocks(file, 0, block.span());
  file.sync();
}

FileHeader read_header(BlockFile& file, const RecordFileShape& shape) {
  const std::uint32_t bytes = header_bytes_for(file.alignment());
  if (file.size_bytes() < bytes) {
    fail("{}: too short for a record file ({} bytes); it was not created completely", file.path(),
         file.size_bytes());
  }
  AlignedBuffer block(bytes, file.alignment());
  read_blocks(file, 0, block.span());
  FileHeader header;
  std::memcpy(&header, block.data(), sizeof(header));
  if (header.magic != kFileMagic) fail("{}: not a record file of mneme", file.path());
  if (header.checksum != header_checksum(header)) fail("{}: its header is damaged", file.path());
  if (header.version < kOldestVersion || header.version > kVersion) {
    fail("{}: has format version {}, this program reads {} to {}", file.path(), header.version,
         kOldestVersion, kVersion);
  }
  if (header.payload_bytes != shape.payload_bytes) {
    fail("{}: holds records of {} bytes, {} expected; it belongs to another configuration",
         file.path(), header.payload_bytes, shape.payload_bytes);
  }
  if (header.table_id != shape.table_id) {
    fail("{}: belongs to another table (identity {:x}, {:x} expected)", file.path(),
         header.table_id, shape.table_id);
  }
  const bool sane =
      std::has_single_bit(header.alignment) &&
      header.slot_bytes == slot_bytes_for(file.path(), header.payload_bytes, header.alignment);
  if (!sane) fail("{}: its header contradicts itself", file.path());
  return header;
}

}  // namespace

RecordFile::RecordFile(std::unique_ptr<BlockFile> file, const RecordFileShape& shape,
                       std::uint32_t slot_bytes, std::uint32_t header_bytes)
    : file_(std::move(file)), shape_(shape), slot_bytes_(slot_bytes), header_bytes_(header_bytes) {}

RecordFile RecordFile::create(Disk& disk, const std::string& path, const RecordFileShape& shape,
                              const OpenOptions& options) {
  // Under its own name from the moment on at which it has a header: what a crash leaves before
  // that is recognised by its name, afterwards by its content.
  OpenOptions creating = options;
  creating.create = true;
  const std::string aside = path + kAsideSuffix;
  auto file = disk.open(aside, creating);
  const std::uint32_t alignment = std::max(file->alignment(), 512u);
  const std::uint32_t header_bytes = header_bytes_for(alignment);
  const std::uint32_t slot_bytes = slot_bytes_for(path, shape.payload_bytes, alignment);
  file->truncate(0);
  file->reserve(header_bytes);

  write_header(
      *file, {kFileMagic, kVersion, alignment, slot_bytes, shape.payload_bytes, shape.table_id, 0});
  file.reset();
  if (disk.exists(path)) fail("{}: is there already; move it away", path);
  take_name(disk, path);
  return open(disk, path, shape, options);
}

RecordFile RecordFile::open(Disk& disk, const std::string& path, const RecordFileShape& shape,
                            const OpenOptions& options) {
  auto file = disk.open(path, options);
  const FileHeader header = read_header(*file, shape);
  if (header.alignment < file->alignment()) {
    // Moved here from a disk of smaller blocks: the page cache can read and write its slots.
    warn("{}: has blocks of {} bytes, the disk {}; it is used without direct I/O", path,
         header.alignment, file->alignment());
    OpenOptions buffered = options;
    buffered.direct = false;
    file.reset();
    file = disk.open(path, buffered);
  }
  if (header.version != kVersion && !options.read_only) write_header(*file, header);
  return RecordFile(std::move(file), shape, header.slot_bytes, header_bytes_for(header.alignment));
}

std::uint64_t RecordFile::offset_of(std::uint64_t slot) const {
  constexpr std::uint64_t kMaxOffset = std::numeric_limits<std::int64_t>::max();
  CHECK(slot < (kMaxOffset - header_bytes_) / slot_bytes_ - 1, "slot {}", slot);
  return header_bytes_ + slot * slot_bytes_;
}

std::uint64_t RecordFile::capacity_slots() const {
  const std::uint64_t bytes = file_->size_bytes();
  return bytes < header_bytes_ ? 0 : (bytes - header_bytes_) / slot_bytes_;
}

void RecordFile::reserve(std::uint64_t slots) {
  file_->reserve(offset_of(slots));
}

bool is_record_file(Disk& disk, const std::string& path, std::uint64_t* table_id) {
  const auto file = disk.open(path, read_once_options());
  if (file->size_bytes() < kMinHeaderBytes) return false;
  AlignedBuffer block(kMinHeaderBytes, file->alignment());
  read_blocks(*file, 0, block.span());
  FileHeader header;
  std::memcpy(&header, block.data(), sizeof(header));
  if (header.magic != kFileMagic || header.checksum != header_checksum(header)) return false;
  if (table_id != nullptr) *table_id = header.table_id;
  return true;
}

void RecordFile::seal(std::byte* buffer, const RecordKey& key) const {
  const std::byte* payload = buffer + kPayloadOffset;
  const SlotHeader header = {kSlotMagic,
                             key.row,
                             key.slot,
                             key.generation,
                             shape_.payload_bytes,
                             0,
                             record_checksum(key, shape_, payload),
                             {}};
  std::memcpy(buffer, &header, sizeof(header));
  const std::size_t used = kPayloadOffset + shape_.payload_bytes;
  std::memset(buffer + used, 0, slot_bytes_ - used);
}

std::optional<std::string> RecordFile::mismatch(const std::byte* buffer,
                                                const RecordKey& key) const {
  SlotHeader header;
  std::memcpy(&header, buffer, sizeof(header));
  if (header.magic == 0) return "the slot was never written";
  if (header.magic != kSlotMagic) return "the slot holds no record";
  if (header.row != key.row) return fmt::format("holds row {}", header.row);
  if (header.slot != key.slot) return fmt::format("was written for slot {}", header.slot);
  if (header.generation != key.generation) {
    return fmt::format("holds generation {}, {} expected", header.generation, key.generation);
  }
  if (header.payload_bytes != shape_.payload_bytes) {
    return fmt::format("holds {} bytes, {} expected", header.payload_bytes, shape_.payload_bytes);
  }
  const bool clean = header.zero == 0 && header.padding[0] == 0 && header.padding[1] == 0;
  if (!clean || header.checksum != record_checksum(key, shape_, buffer + kPayloadOffset)) {
    return "its checksum does not match: torn or damaged";
  }
  return std::nullopt;
}

bool RecordFile::submit_read(std::byte* buffers, std::uint64_t first_slot, std::uint64_t tag,
                             std::uint32_t count) {
  return file_->submit(
      {BlockOperation::kRead, offset_of(first_slot), buffers, count * slot_bytes_, tag});
}

bool RecordFile::submit_write(std::byte* buffers, std::uint64_t first_slot, std::uint64_t tag,
                              std::uint32_t count) {
  return file_->submit(
      {BlockOperation::kWrite, offset_of(first_slot), buffers, count * slot_bytes_, tag});
}

}  // namespace mneme::io
