// The parts of one tiered store that page-in, write-back and prefetch work on together.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "offload/changed_rows.h"
#include "offload/counters.h"
#include "offload/device_tier.h"
#include "offload/disk_tier.h"
#include "offload/host_tier.h"
#include "offload/residency.h"
#include "offload/row_transfers.h"

namespace mneme::offload {

struct Tiers {
  kernels::Backend& backend;
  kernels::Stream& stream;  // the step plan's
  Residency residency;
  DeviceTier device;
  HostTier host;
  DiskTier disk;
  RowTransfers transfers;
  StepCounters counters;  // of the running step
  std::size_t record_bytes = 0;
  std::uint64_t step = 0;
  std::uint32_t use_counter = 0;  // leases so far
  std::uint64_t room_us = 0;      // that the caller spent making room, since the start
  ChangedRows changed_rows;
};

}  // namespace mneme::offload
