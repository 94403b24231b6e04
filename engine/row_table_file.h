// The file of one row -> slot table delta in a checkpoint, checksummed as a whole.
//
// Layout, little-endian: magic "MNEMETBL", version u32, table index u32, flags u64 (1: a base, that
// is a whole table), next generation u64, entry count u64; then per entry row u32, slot u32,
// generation u64, rows ascending; then XXH3-64 of everything before. See docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/disk.h"
#include "offload/row_table.h"

namespace mneme::engine {

struct RowTableFile {
  std::uint32_t table = 0;
  bool base = false;
  std::uint64_t next_generation = 0;
  std::vector<offload::TableEntry> entries;
  std::uint64_t checksum = 0;  // of the file that it was read from
};

inline constexpr std::uint64_t kRowTableFileOverhead = 48;  // bytes besides the entries
inline constexpr std::uint64_t kRowTableEntryBytes = 16;

std::vector<std::byte> encode_row_table(const RowTableFile& file);
// Throws Error naming path for anything that encode_row_table would not have written.
RowTableFile decode_row_table(std::span<const std::byte> bytes, const std::string& path);

// The checksum that stands at the end of an encoded file.
std::uint64_t row_table_checksum(std::span<const std::byte> bytes);
// Whether a file starts as a row table does.
bool is_row_table_file(io::Disk& disk, const std::string& path);

// Applies a newer delta: its entries replace those of the same row.
void apply_delta(std::vector<offload::TableEntry>& table,
                 std::span<const offload::TableEntry> delta);

}  // namespace mneme::engine
