// The rows file of a value table as a whole: reading every record's checksum.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "io/disk.h"
#include "io/record_file.h"
#include "offload/disk/row_table.h"

namespace mneme::offload {

struct RowsFile {
  std::string path;
  io::RecordFileShape shape;
  io::OpenOptions open;  // for reading
};

struct VerifiedRows {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
};

// Reads every record that the tables refer to, each once, in the order of slots, and checks it.
// Memory: 16 bytes an entry beside the tables, which the caller holds. Throws Error at the first
// that does not verify, naming row, slot and file. `progress`, when given, is called now and then
// with the records done and their number.
VerifiedRows verify_rows_file(
    io::Disk& disk, const RowsFile& rows_file, std::span<const CheckpointTable> tables,
    const std::function<void(std::uint64_t, std::uint64_t)>& progress = {});

}  // namespace mneme::offload
