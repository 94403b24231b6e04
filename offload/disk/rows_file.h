// The rows files of a value table as a whole: reading many records, front to back.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/record_file.h"
#include "offload/disk/row_table.h"

namespace mneme::offload {

// One of the files over which the records of a table are spread. Of a single file the shape is the
// table's; of others each has an identity of its own, so that none is taken for another.
io::RecordFileShape stripe_shape(const io::RecordFileShape& table, std::size_t stripe,
                                 std::size_t stripes);

struct RowsFiles {
  std::vector<std::string> paths;
  io::RecordFileShape shape;  // the table's
  io::OpenOptions open;       // for reading
};

// Reads the entries' records, file by file in the order of slots, neighbours together, and checks
// them. use: gets the entry's place in `entries` and its record, which is there during the call.
// Returns the bytes of their slots. Memory: 24 bytes an entry. Throws Error at the first that does
// not verify, naming row, slot and file.
using UseRecord = std::function<void(std::size_t, const std::byte*)>;
std::uint64_t read_rows_files(io::Disk& disk, const RowsFiles& files,
                              std::span<const TableEntry> entries, const UseRecord& use);

struct VerifiedRows {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
};

// Reads every record that the tables refer to, each once, file by file in the order of slots, and
// checks it.
// Memory: 16 bytes an entry beside the tables, which the caller holds. Throws Error at the first
// that does not verify, naming row, slot and file. `progress`, when given, is called now and then
// with the records done and their number.
VerifiedRows verify_rows_files(
    io::Disk& disk, const RowsFiles& files, std::span<const CheckpointTable> tables,
    const std::function<void(std::uint64_t, std::uint64_t)>& progress = {});

}  // namespace mneme::offload
