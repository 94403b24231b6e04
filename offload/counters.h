// What the store did: counted by step and in total, without device synchronisation.
#pragma once

#include <cstdint>

namespace mneme::offload {

struct TierTraffic {
  std::uint64_t rows_read = 0;  // rows that a lease found in this tier
  std::uint64_t bytes_read = 0;
  std::uint64_t rows_written = 0;  // rows moved into this tier from a hotter one
  std::uint64_t bytes_written = 0;
};

struct StepCounters {
  std::uint64_t leases = 0;
  std::uint64_t rows_leased = 0;     // sum over leases
  std::uint64_t rows_generated = 0;  // untouched until now
  TierTraffic device;                // hits
  TierTraffic host;
  TierTraffic disk;
  std::uint64_t misses_cold = 0;      // first touch of a row
  std::uint64_t misses_capacity = 0;  // had been touched before
  std::uint64_t prefetched = 0, prefetch_used = 0, prefetch_late = 0, prefetch_wasted = 0;
  std::uint64_t prefetched_bytes = 0, prefetch_wasted_bytes = 0;
  std::uint64_t clean_dropped = 0;  // victims that needed no write
  std::uint64_t evicted_from_device = 0, evicted_from_host = 0;
  std::uint64_t io_retries = 0;
  std::uint64_t acquire_stall_us = 0;    // time that the caller waited inside acquire
  std::uint64_t disk_wait_us = 0;        // of it: waiting for reads
  std::uint64_t write_back_wait_us = 0;  // of it: waiting for room in write-back

  StepCounters& operator+=(const StepCounters& other);
};

struct TierUse {
  std::uint64_t device_slots = 0, device_rows = 0, device_bytes = 0;
  std::uint64_t host_slots = 0, host_rows = 0, host_bytes = 0;
  std::uint64_t disk_slots = 0, disk_live_slots = 0, disk_bytes = 0;
  std::uint64_t touched_rows = 0, table_rows = 0;
};

}  // namespace mneme::offload
