// The options of a tiered store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/record_file.h"
#include "kernels/backend.h"

namespace mneme::offload {

struct TierOptions {
  std::uint64_t device_bytes = 0;  // budget of the device tier, its slot table included
  std::uint64_t host_bytes = 0;    // budget of the host tier; too little for 16 records: no tier
  std::uint64_t disk_bytes = 0;    // the largest size of the rows files; 0 for no limit
  // The share of device_bytes that is set aside for read-only leases.
  double evaluation_share = 0.0625;
  kernels::ReplacementKind device_policy = kernels::ReplacementKind::kLfu;
  kernels::ReplacementKind host_policy = kernels::ReplacementKind::kLfu;
  std::uint32_t io_depth = 32;  // disk transfers under way at once
  io::IoEngine io_engine = io::IoEngine::kAuto;
  bool direct_io = true;  // O_DIRECT: past the page cache
  // Emulated link speeds in bytes per second; 0 for none. A link is a queue with a clock: a
  // transfer is through once those before it are, and its own bytes. The host link has a queue for
  // each direction, the disk one for reads and writes together. Only what needs the rows waits.
  double host_link_bytes_per_second = 0;
  double disk_link_bytes_per_second = 0;
};

struct StoreOptions {
  std::uint32_t table = 0;  // number of the table; part of what a row's initial value depends on
  std::uint64_t rows = 0;   // K, the rows of the table
  kernels::RecordLayout layout;
  float initial_standard_deviation[kernels::kMaxRowParts] = {};  // of each part
  std::uint64_t seed = 0;
  // The run that the table belongs to. A rows file of another run is refused.
  std::uint64_t run_id = 0;
  TierOptions tiers;
  // Of the rows files, on a disk each, which are created when the first row goes to disk. None: no
  // row can go to disk.
  std::vector<std::string> paths;
  // Host memory for records of a checkpoint on their way to the disk, while training goes on.
  std::uint64_t save_bytes = std::uint64_t{16} << 20;
  // For evaluation and export: the rows file is opened for reading only, and nothing may be trained
  // or flushed.
  bool read_only = false;
};

// The rows files of a store. Files of one shape hold rows of the same table of one run.
io::RecordFileShape rows_file_shape(const StoreOptions& options);
io::OpenOptions rows_file_options(const StoreOptions& options);

}  // namespace mneme::offload
