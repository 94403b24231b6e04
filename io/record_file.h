// A file of fixed-size record slots on a BlockFile, each slot self-describing and checksummed.
//
// File: a header block (magic, version, alignment, slot bytes, payload bytes, table identity), then
// slots. Slot: magic, row, generation, payload bytes, XXH3-64 over (row, slot, generation,
// payload); then the payload; zero padding up to slot_bytes, a multiple of the file's alignment. A
// zero-filled, torn, stale (wrong generation) or misdirected (wrong row or slot) slot never
// verifies. RecordFile encodes, decodes and does I/O on slots; which slot belongs to which row is
// its caller's business (offload/disk/disk_engine.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "io/block_file.h"
#include "io/disk.h"

namespace mneme::io {

// What a slot must hold. Two reads with the same key return the same bytes or an Error.
struct RecordKey {
  std::uint64_t row = 0;
  std::uint64_t slot = 0;
  std::uint64_t generation = 0;
};

struct RecordFileShape {
  std::uint32_t payload_bytes = 0;
  std::uint64_t table_id = 0;  // hash of table index, seed and shape; a foreign file is an Error
};

class RecordFile {
 public:
  // Creates the file with its header, durable with its name, or opens and checks it. A file of that
  // name is never replaced. One of an older version is read as it is; opened for writing, it
  // becomes one of this version. Throws Error naming path.
  static RecordFile create(Disk& disk, const std::string& path, const RecordFileShape& shape,
                           const OpenOptions& options);
  static RecordFile open(Disk& disk, const std::string& path, const RecordFileShape& shape,
                         const OpenOptions& options);

  std::uint32_t payload_bytes() const { return shape_.payload_bytes; }
  std::uint32_t slot_bytes() const { return slot_bytes_; }
  // Offset of the payload inside a slot buffer, in bytes (a multiple of 32).
  static constexpr std::uint32_t kPayloadOffset = 64;
  std::uint64_t offset_of(std::uint64_t slot) const;
  // Slots that fit into the file as it is now.
  std::uint64_t capacity_slots() const;
  // Grows the file to hold at least `slots` slots. Throws Error on a full disk.
  void reserve(std::uint64_t slots);

  // Fills the header and the padding of a slot buffer whose payload is in place.
  // buffer: [slot_bytes], aligned to the file's alignment.
  void seal(std::byte* buffer, const RecordKey& key) const;
  // The reason why the buffer is not the record `key`, or nothing when it is.
  std::optional<std::string> mismatch(const std::byte* buffer, const RecordKey& key) const;

  // Queue a slot transfer; false when the queue is full. Completions come from file().poll().
  // count: of neighbouring slots, into or from buffers that lie one behind the other.
  [[nodiscard]] bool submit_read(std::byte* buffers, std::uint64_t first_slot, std::uint64_t tag,
                                 std::uint32_t count = 1);
  [[nodiscard]] bool submit_write(std::byte* buffers, std::uint64_t first_slot, std::uint64_t tag,
                                  std::uint32_t count = 1);

  BlockFile& file() { return *file_; }
  const BlockFile& file() const { return *file_; }

 private:
  RecordFile(std::unique_ptr<BlockFile> file, const RecordFileShape& shape,
             std::uint32_t slot_bytes, std::uint32_t header_bytes);

  std::unique_ptr<BlockFile> file_;
  RecordFileShape shape_;
  std::uint32_t slot_bytes_ = 0;
  std::uint32_t header_bytes_ = 0;
};

// Whether the file starts with the header of a record file, and the table that it is of.
bool is_record_file(Disk& disk, const std::string& path, std::uint64_t* table_id = nullptr);

}  // namespace mneme::io
