// Rows moving to colder tiers: device victims to the host, host victims to the disk.
#pragma once

#include <cstdint>

#include "offload/tiers.h"

namespace mneme::offload {

class WriteBack {
 public:
  explicit WriteBack(Tiers& tiers) : tiers_(tiers), lists_(tiers.backend) {}

  // Moves the records of device victims (already unbound) to the host tier, or straight to the disk
  // when there is none. Rows that equal their disk copy or their initial value need no write.
  void demote(const DeviceVictims& victims);
  // Makes `wanted` host slots free, writing dirty victims to the disk. wanted <= host.slots().
  void make_host_room(std::uint32_t wanted);
  // Writes every dirty record to a fresh disk slot and makes it durable; copies stay.
  void flush();

 private:
  void demote_to_host(const DeviceVictims& victims, std::size_t first, std::size_t count);
  void write_device_records(std::int64_t count, bool leave_device);
  void write_host_record(std::uint32_t slot, kernels::RowId row);
  void submit(std::uint32_t buffer, kernels::RowId row);

  Tiers& tiers_;
  TransferLists lists_;
  std::vector<std::uint32_t> staged_;
};

}  // namespace mneme::offload
