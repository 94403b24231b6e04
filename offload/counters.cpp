#include "offload/counters.h"

namespace mneme::offload {
namespace {

void add(TierTraffic& sum, const TierTraffic& other) {
  sum.rows_read += other.rows_read;
  sum.bytes_read += other.bytes_read;
  sum.rows_written += other.rows_written;
  sum.bytes_written += other.bytes_written;
}

}  // namespace

StepCounters& StepCounters::operator+=(const StepCounters& other) {
  leases += other.leases;
  rows_leased += other.rows_leased;
  rows_generated += other.rows_generated;
  add(device, other.device);
  add(host, other.host);
  add(disk, other.disk);
  misses_cold += other.misses_cold;
  misses_capacity += other.misses_capacity;
  prefetched += other.prefetched;
  prefetch_used += other.prefetch_used;
  prefetch_late += other.prefetch_late;
  prefetch_wasted += other.prefetch_wasted;
  prefetched_bytes += other.prefetched_bytes;
  prefetch_wasted_bytes += other.prefetch_wasted_bytes;
  clean_dropped += other.clean_dropped;
  evicted_from_device += other.evicted_from_device;
  evicted_from_host += other.evicted_from_host;
  io_retries += other.io_retries;
  acquire_stall_us += other.acquire_stall_us;
  disk_wait_us += other.disk_wait_us;
  write_back_wait_us += other.write_back_wait_us;
  stall_plan_us += other.stall_plan_us;
  stall_host_us += other.stall_host_us;
  stall_disk_us += other.stall_disk_us;
  stall_write_back_us += other.stall_write_back_us;
  return *this;
}

}  // namespace mneme::offload
