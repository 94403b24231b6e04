#include "engine/row_table_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "io/advice.h"
#include "io/aligned_buffer.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/file_io.h"

namespace mneme::engine {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[8] = {'M', 'N', 'E', 'M', 'E', 'T', 'B', 'L'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 40;
static_assert(kHeaderBytes + 8 == kRowTableFileOverhead);

template <typename T>
void put(std::byte*& at, T value) {
  std::memcpy(at, &value, sizeof value);
  at += sizeof value;
}

template <typename T>
T get(const std::byte*& at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  at += sizeof value;
  return value;
}

}  // namespace

std::vector<std::byte> encode_row_table(const RowTableFile& file) {
  std::vector<std::byte> bytes(kRowTableFileOverhead + file.entries.size() * kRowTableEntryBytes);
  std::byte* at = bytes.data();
  std::memcpy(at, kMagic, sizeof kMagic);
  at += sizeof kMagic;
  put(at, kVersion);
  put(at, file.table);
  put(at, std::uint64_t{file.base ? 1u : 0u});
  put(at, file.next_generation);
  put(at, std::uint64_t{file.entries.size()});
  for (const offload::TableEntry& entry : file.entries) {
    put(at, std::uint32_t{entry.row});
    put(at, entry.slot);
    put(at, entry.generation);
  }
  put(at, io::checksum64(std::span<const std::byte>(bytes.data(), bytes.size() - 8)));
  return bytes;
}

RowTableFile decode_row_table(std::span<const std::byte> bytes, const std::string& path) {
  const auto damaged = [&](const char* why) {
    io::fail("{}: not a row table of mneme ({}); {}", path, why, io::kOlderCheckpoint);
  };
  if (bytes.size() < kRowTableFileOverhead) damaged("truncated");
  const std::byte* tail = bytes.data() + bytes.size() - 8;
  if (get<std::uint64_t>(tail) != io::checksum64(bytes.first(bytes.size() - 8))) {
    damaged("wrong checksum");
  }
  const std::byte* at = bytes.data();
  if (std::memcmp(at, kMagic, sizeof kMagic) != 0) damaged("wrong magic");
  at += sizeof kMagic;
  if (get<std::uint32_t>(at) != kVersion) damaged("unknown version");
  RowTableFile file;
  file.checksum = row_table_checksum(bytes);
  file.table = get<std::uint32_t>(at);
  file.base = (get<std::uint64_t>(at) & 1) != 0;
  file.next_generation = get<std::uint64_t>(at);
  const auto count = get<std::uint64_t>(at);
  if (count != (bytes.size() - kRowTableFileOverhead) / kRowTableEntryBytes ||
      (bytes.size() - kRowTableFileOverhead) % kRowTableEntryBytes != 0) {
    damaged("wrong length");
  }
  file.entries.resize(count);
  for (offload::TableEntry& entry : file.entries) {
    entry.row = get<std::uint32_t>(at);
    entry.slot = get<std::uint32_t>(at);
    entry.generation = get<std::uint64_t>(at);
  }
  const auto out_of_order =
      std::adjacent_find(file.entries.begin(), file.entries.end(),
                         [](const auto& left, const auto& right) { return left.row >= right.row; });
  if (out_of_order != file.entries.end()) damaged("rows out of order");
  return file;
}

std::uint64_t row_table_checksum(std::span<const std::byte> bytes) {
  const std::byte* tail = bytes.data() + bytes.size() - sizeof(std::uint64_t);
  return get<std::uint64_t>(tail);
}

bool is_row_table_file(io::Disk& disk, const std::string& path) {
  const auto file = disk.open(
      path, {.read_only = true, .direct = false, .depth = 1, .engine = io::IoEngine::kSync});
  if (file->size_bytes() < kRowTableFileOverhead) return false;
  io::AlignedBuffer block(file->alignment(), file->alignment());
  io::read_blocks(*file, 0, block.span());
  return std::memcmp(block.data(), kMagic, sizeof kMagic) == 0;
}

void apply_delta(std::vector<offload::TableEntry>& table,
                 std::span<const offload::TableEntry> delta) {
  const auto by_row = [](const auto& left, const auto& right) { return left.row < right.row; };
  std::vector<offload::TableEntry> merged;
  merged.reserve(table.size() + delta.size());
  // set_union takes equal rows from its first range: the newer entries.
  std::set_union(delta.begin(), delta.end(), table.begin(), table.end(), std::back_inserter(merged),
                 by_row);
  table = std::move(merged);
}

}  // namespace mneme::engine
