// What the store did, by step and in total. The plan keeps some counts on the device: begin_step
// and whoever asks for counters wait for the plan's stream, leases never wait for a counter.
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
  // The host's own time, by its clock. None of it says how long the device waited.
  std::uint64_t acquire_stall_us = 0;    // in acquire after the look-up, where rows were missing
  std::uint64_t disk_wait_us = 0;        // waiting for reads: in acquire, in a flush
  std::uint64_t write_back_wait_us = 0;  // waiting for write buffers and syncs: in acquire, in
                                         // making room for prefetches, in a flush
  // Time that the caller's stream stood still for the store, by what it waited for; in sum the
  // stall. As the device saw it (stall_clock.h); a lease whose events were not over when the step
  // was counted is in the next step's numbers.
  std::uint64_t stall_plan_us = 0;        // the step plan: look-up, victims, slots
  std::uint64_t stall_host_us = 0;        // rows from host memory, and generated ones
  std::uint64_t stall_disk_us = 0;        // rows from disk
  std::uint64_t stall_write_back_us = 0;  // room: victims that had to be written first

  // Rows that came into the device tier, each as often as it came.
  std::uint64_t rows_fetched() const { return rows_leased - device.rows_read; }

  StepCounters& operator+=(const StepCounters& other);
};

struct TierUse {
  std::uint64_t device_slots = 0, device_rows = 0, device_bytes = 0;
  std::uint64_t host_slots = 0, host_rows = 0, host_bytes = 0;
  std::uint64_t disk_slots = 0, disk_live_slots = 0, disk_bytes = 0;
  std::uint64_t touched_rows = 0, table_rows = 0;
};

}  // namespace mneme::offload
