#include "engine/row_table_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <queue>
#include <utility>

#include "io/advice.h"
#include "io/check.h"
#include "io/error.h"
#include "io/progress.h"

namespace mneme::engine {
namespace {

using offload::TableEntry;

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[8] = {'M', 'N', 'E', 'M', 'E', 'T', 'B', 'L'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeadBytes = 40, kChecksumBytes = 8;
static_assert(kHeadBytes + kChecksumBytes == kRowTableFileOverhead);

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

RowTableWriter::RowTableWriter(io::Disk& disk, const std::string& path, const RowTableHead& head)
    : file_(disk, path, kRowTableFileOverhead + head.entries * kRowTableEntryBytes) {
  std::array<std::byte, kHeadBytes> bytes;
  std::byte* at = bytes.data();
  std::memcpy(at, kMagic, sizeof kMagic);
  at += sizeof kMagic;
  put(at, kVersion);
  put(at, head.table);
  put(at, std::uint64_t{head.base ? 1u : 0u});
  put(at, head.next_generation);
  put(at, head.entries);
  append(bytes);
}

void RowTableWriter::append(std::span<const std::byte> bytes) {
  checksum_.add(bytes);
  file_.append(bytes);
}

void RowTableWriter::append(const TableEntry& entry) {
  CHECK(!last_row_ || *last_row_ < entry.row, "row {} after row {}", entry.row, *last_row_);
  last_row_ = entry.row;
  std::array<std::byte, kRowTableEntryBytes> bytes;
  std::byte* at = bytes.data();
  put(at, std::uint32_t{entry.row});
  put(at, entry.slot);
  put(at, entry.generation);
  append(bytes);
}

std::uint64_t RowTableWriter::finish() {
  const std::uint64_t checksum = checksum_.value();
  file_.append(std::as_bytes(std::span(&checksum, 1)));
  file_.finish();
  return checksum;
}

RowTableReader::RowTableReader(io::Disk& disk, const std::string& path)
    : path_(path), file_(disk, path) {
  read_head();
}

void RowTableReader::fail(const char* why) const {
  io::fail("{}: not a row table of mneme ({}); {}", path_, why, io::kOlderCheckpoint);
}

void RowTableReader::read(std::span<std::byte> bytes) {
  file_.read(bytes);
  checksum_.add(bytes);
}

void RowTableReader::read_head() {
  const std::uint64_t size = file_.size_bytes();
  if (size < kRowTableFileOverhead) fail("truncated");
  std::array<std::byte, kHeadBytes> bytes;
  read(bytes);
  const std::byte* at = bytes.data();
  if (std::memcmp(at, kMagic, sizeof kMagic) != 0) fail("wrong magic");
  at += sizeof kMagic;
  if (get<std::uint32_t>(at) != kVersion) fail("unknown version");
  head_.table = get<std::uint32_t>(at);
  head_.base = (get<std::uint64_t>(at) & 1) != 0;
  head_.next_generation = get<std::uint64_t>(at);
  head_.entries = get<std::uint64_t>(at);
  if (head_.entries != (size - kRowTableFileOverhead) / kRowTableEntryBytes ||
      (size - kRowTableFileOverhead) % kRowTableEntryBytes != 0) {
    fail("wrong length");
  }
}

std::optional<TableEntry> RowTableReader::next() {
  if (read_entries_ == head_.entries) {
    const std::uint64_t expected = checksum_.value();
    std::array<std::byte, kChecksumBytes> bytes;
    file_.read(bytes);
    const std::byte* at = bytes.data();
    if (get<std::uint64_t>(at) != expected) fail("wrong checksum");
    return std::nullopt;
  }
  ++read_entries_;
  std::array<std::byte, kRowTableEntryBytes> bytes;
  read(bytes);
  const std::byte* at = bytes.data();
  TableEntry entry;
  entry.row = get<std::uint32_t>(at);
  entry.slot = get<std::uint32_t>(at);
  entry.generation = get<std::uint64_t>(at);
  if (last_row_ && entry.row <= *last_row_) fail("rows out of order");
  last_row_ = entry.row;
  return entry;
}

bool is_row_table_file(io::Disk& disk, const std::string& path) {
  io::SequentialReader file(disk, path);
  if (file.size_bytes() < kRowTableFileOverhead) return false;
  std::array<std::byte, sizeof kMagic> start;
  file.read(start);
  return std::memcmp(start.data(), kMagic, sizeof kMagic) == 0;
}

RowTableChain::RowTableChain(io::Disk& disk, std::uint32_t table, std::vector<RowTableLink> links)
    : disk_(disk), links_(std::move(links)) {
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const RowTableHead head = RowTableReader(disk, links_[i].path).head();
    if (head.table != table || head.base != (i == 0)) {
      io::fail("{}: not the {} of table {} that the manifest names; restore it from a backup",
               links_[i].path, i == 0 ? "base" : "delta", table);
    }
    next_generation_ = std::max(next_generation_, head.next_generation);
    most_entries_ += head.entries;
  }
}

void RowTableChain::for_each(offload::TableChanges* newest, const Visit& visit) const {
  if (newest != nullptr) newest->restart();
  std::vector<RowTableReader> files;
  files.reserve(links_.size());
  for (const RowTableLink& link : links_) files.emplace_back(disk_, link.path);
  // The next entry of each source, the lowest row first, and of equal rows the newest; the last
  // source is `newest`.
  struct Next {
    TableEntry entry;
    std::size_t source = 0;
  };
  const auto later = [](const Next& a, const Next& b) {
    return a.entry.row != b.entry.row ? a.entry.row > b.entry.row : a.source < b.source;
  };
  std::priority_queue<Next, std::vector<Next>, decltype(later)> queue(later);
  const auto advance = [&](std::size_t source) {
    if (source < files.size()) {
      if (const auto entry = files[source].next()) {
        queue.push({*entry, source});
      } else if (files[source].checksum() != links_[source].checksum) {
        io::fail("{}: is not the row table that the manifest names; {}", links_[source].path,
                 io::kOlderCheckpoint);
      }
    } else if (newest != nullptr) {
      if (const auto entry = newest->next()) queue.push({*entry, source});
    }
  };
  for (std::size_t source = 0; source <= files.size(); ++source) advance(source);
  std::optional<kernels::RowId> last_row;
  while (!queue.empty()) {
    const Next next = queue.top();
    queue.pop();
    if (last_row != next.entry.row) visit(next.entry);
    last_row = next.entry.row;
    advance(next.source);
  }
}

std::uint64_t write_row_table_delta(io::Disk& disk, const std::string& path, std::uint32_t table,
                                    offload::TableChanges changes) {
  RowTableWriter file(disk, path,
                      {.table = table,
                       .base = false,
                       .next_generation = changes.next_generation(),
                       .entries = changes.count()});
  io::Phase phase("row table", changes.count(), "rows");
  changes.restart();
  while (const auto entry = changes.next()) {
    file.append(*entry);
    phase.add(1);
  }
  return file.finish();
}

std::uint64_t write_row_table_base(io::Disk& disk, const std::string& path, std::uint32_t table,
                                   const RowTableChain& chain, offload::TableChanges changes) {
  // The first pass counts, since the count comes first in the file, and verifies.
  RowTableHead head{.table = table, .base = true, .next_generation = changes.next_generation()};
  io::Phase phase("row table", 2 * (chain.most_entries() + changes.count()), "rows");
  chain.for_each(&changes, [&](const TableEntry&) {
    ++head.entries;
    phase.add(1);
  });
  RowTableWriter file(disk, path, head);
  chain.for_each(&changes, [&](const TableEntry& entry) {
    file.append(entry);
    phase.add(1);
  });
  return file.finish();
}

}  // namespace mneme::engine
