// The file of one row -> slot table delta in a checkpoint, checksummed as a whole.
//
// Layout, little-endian: magic "MNEMETBL", version u32, table index u32, flags u64 (1: a base, that
// is a whole table), next generation u64, entry count u64; then per entry row u32, slot u32,
// generation u64, rows ascending; then XXH3-64 of everything before. See docs/formats.md.
//
// Files are read and written entry by entry: a table of any size passes through small buffers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/checksum.h"
#include "io/disk.h"
#include "io/sequential_file.h"
#include "offload/disk/row_table.h"

namespace mneme::engine {

struct RowTableHead {
  std::uint32_t table = 0;
  bool base = false;
  std::uint64_t next_generation = 0;
  std::uint64_t entries = 0;
  bool operator==(const RowTableHead&) const = default;
};

inline constexpr std::uint64_t kRowTableFileOverhead = 48;  // bytes besides the entries
inline constexpr std::uint64_t kRowTableEntryBytes = 16;

// Creates or replaces the file in finish().
class RowTableWriter {
 public:
  RowTableWriter(io::Disk& disk, const std::string& path, const RowTableHead& head);
  // REQUIRES: rows ascend; no more than head.entries.
  void append(const offload::TableEntry& entry);
  // The file is there and durable; its checksum. REQUIRES: head.entries were appended.
  std::uint64_t finish();

 private:
  void append(std::span<const std::byte> bytes);

  io::SequentialWriter file_;
  io::Checksum64 checksum_;
  std::optional<kernels::RowId> last_row_;
};

// Throws Error naming path for anything that RowTableWriter would not have written: for the head
// when the file is opened, for the rest at the latest when next() comes to the end.
class RowTableReader {
 public:
  RowTableReader(io::Disk& disk, const std::string& path);
  const RowTableHead& head() const { return head_; }
  // Of the file. REQUIRES: next() has come to the end.
  std::uint64_t checksum() const { return checksum_.value(); }
  // The entries, rows ascending; then none, once the checksum is known to be right. No entry is to
  // be trusted before that.
  std::optional<offload::TableEntry> next();

 private:
  [[noreturn]] void fail(const char* why) const;
  void read(std::span<std::byte> bytes);
  void read_head();

  std::string path_;
  io::SequentialReader file_;
  io::Checksum64 checksum_;
  RowTableHead head_;
  std::uint64_t read_entries_ = 0;
  std::optional<kernels::RowId> last_row_;
};

// Whether a file starts as a row table does.
bool is_row_table_file(io::Disk& disk, const std::string& path);

// A file of a chain, and the checksum that it has if it is the one that is meant.
struct RowTableLink {
  std::string path;
  std::uint64_t checksum = 0;
};

// A base and the deltas that follow it, read as the one table that they make.
class RowTableChain {
 public:
  using Visit = std::function<void(const offload::TableEntry&)>;

  // Throws Error for a file that is not the base or a delta of this table. An empty chain is an
  // empty table.
  RowTableChain(io::Disk& disk, std::uint32_t table, std::vector<RowTableLink> links);

  std::uint64_t next_generation() const { return next_generation_; }
  // No fewer than the table has.
  std::uint64_t most_entries() const { return most_entries_; }
  // Calls visit for each row of the table, ascending, with the entry of the newest file that has
  // it; entries of `newest`, where given, are newer still. Reads every file to its end and so
  // verifies it: when this throws, nothing that was visited is to be trusted.
  void for_each(offload::TableChanges* newest, const Visit& visit) const;

 private:
  io::Disk& disk_;
  std::vector<RowTableLink> links_;
  std::uint64_t next_generation_ = 0;
  std::uint64_t most_entries_ = 0;
};

// The changes of one checkpoint as a delta file; its checksum.
std::uint64_t write_row_table_delta(io::Disk& disk, const std::string& path, std::uint32_t table,
                                    offload::TableChanges changes);
// A chain and the changes of one checkpoint upon it as a new base; its checksum. path: of none of
// the chain's files.
std::uint64_t write_row_table_base(io::Disk& disk, const std::string& path, std::uint32_t table,
                                   const RowTableChain& chain, offload::TableChanges changes);

}  // namespace mneme::engine
