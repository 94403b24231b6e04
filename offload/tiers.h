// The parts of one tiered store that page-in and write-back work on together.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "offload/counters.h"
#include "offload/device_tier.h"
#include "offload/disk_tier.h"
#include "offload/host_tier.h"
#include "offload/residency.h"

namespace mneme::offload {

struct Tiers {
  kernels::Backend& backend;
  kernels::Stream& stream;
  Residency residency;
  DeviceTier device;
  HostTier host;
  DiskTier disk;
  StepCounters counters;  // of the running step
  std::size_t record_bytes = 0;
  std::uint64_t step = 0;
  // Rows whose disk slot changed since the last committed checkpoint; with
  // repetitions.
  std::vector<kernels::RowId> changed_rows;
  // Host records that queued stream work may still be writing.
  bool host_writes_pending = false;

  // Makes host records safe to read on the caller's thread.
  void settle_host() {
    if (!host_writes_pending) return;
    stream.synchronize();
    host_writes_pending = false;
  }
};

// Lists of a bounded length that device work reads from pinned host memory. A list may be refilled
// only after the stream has run.
struct TransferLists {
  static constexpr std::int64_t kLength = 4096;

  explicit TransferLists(kernels::Backend& backend)
      : memory(backend.allocate(kLength * 24, kernels::MemoryKind::kPinnedHost)),
        records(memory.as<std::byte*>()),
        slots(reinterpret_cast<kernels::SlotId*>(records + kLength)),
        targets(slots + kLength),
        rows(targets + kLength) {}

  kernels::Buffer memory;
  std::byte** records;
  kernels::SlotId* slots;
  kernels::SlotId* targets;
  kernels::RowId* rows;
};

}  // namespace mneme::offload
