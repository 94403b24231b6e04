// The rows file of a value table as a whole: its identity, and reading every record's checksum.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "io/disk.h"
#include "io/record_file.h"
#include "offload/row_table.h"
#include "offload/tiered_store.h"

namespace mneme::offload {

// Two files of one shape hold rows of the same table of one run.
io::RecordFileShape rows_file_shape(const StoreOptions& options);

struct VerifiedRows {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
};

// Reads every record that the tables refer to, each once, and checks it. Throws Error at the first
// that does not verify, naming row, slot and file. `progress`, when given, is called now and then
// with the records done and their number.
VerifiedRows verify_rows_file(
    io::Disk& disk, const StoreOptions& options, std::span<const CheckpointTable> tables,
    const std::function<void(std::uint64_t, std::uint64_t)>& progress = {});

}  // namespace mneme::offload
