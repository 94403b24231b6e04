#include "offload/planner/round_lists.h"

namespace mneme::offload {
namespace {

// Hands out arrays of a piece of memory, those of large elements first: without memory it counts
// the bytes.
class Pieces {
 public:
  explicit Pieces(std::byte* memory = nullptr) : memory_(memory) {}
  template <typename T>
  void take(T*& array, std::int64_t count) {
    if (memory_ != nullptr) array = reinterpret_cast<T*>(memory_ + bytes_);
    bytes_ += static_cast<std::uint64_t>(count) * sizeof(T);
  }
  std::uint64_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  std::uint64_t bytes_ = 0;
};

struct Arrays {
  ExchangeLists exchange;
  kernels::RowId* rows = nullptr;
  VictimLists victims;
  std::uint64_t* leaves = nullptr;
  kernels::SlotId* disk_slots = nullptr;
};

void lay_out(const RoundListsShape& shape, Pieces& device, Pieces& pinned, Arrays& arrays) {
  Pieces& victims = shape.has_host_tier ? device : pinned;
  victims.take(arrays.victims.count, 1);
  pinned.take(arrays.leaves, 1);
  device.take(arrays.exchange.arriving_from, shape.rows);
  device.take(arrays.exchange.arriving_to, shape.rows);
  device.take(arrays.exchange.leaving_from, shape.rows);
  device.take(arrays.exchange.leaving_to, shape.rows);
  device.take(arrays.rows, shape.rows);
  pinned.take(arrays.disk_slots, shape.rows);
  victims.take(arrays.victims.slots, shape.rows);
  victims.take(arrays.victims.rows, shape.rows);
  if (shape.has_host_tier) {
    device.take(arrays.victims.last_used, shape.rows);
    device.take(arrays.victims.step_used, shape.rows);
    device.take(arrays.victims.frequency, shape.rows);
    if (shape.keeps_uses) device.take(arrays.victims.uses, shape.rows);
  }
  victims.take(arrays.victims.state, shape.rows);
}

}  // namespace

std::uint64_t RoundLists::device_bytes(const RoundListsShape& shape) {
  Pieces device, pinned;
  Arrays arrays;
  lay_out(shape, device, pinned, arrays);
  return device.bytes();
}

std::uint64_t RoundLists::pinned_bytes(const RoundListsShape& shape) {
  Pieces device, pinned;
  Arrays arrays;
  lay_out(shape, device, pinned, arrays);
  return pinned.bytes();
}

RoundLists::RoundLists(kernels::Backend& backend, const RoundListsShape& shape)
    : device_memory(backend.allocate(static_cast<std::size_t>(device_bytes(shape)),
                                     kernels::MemoryKind::kDevice)),
      pinned_memory(backend.allocate(static_cast<std::size_t>(pinned_bytes(shape)),
                                     kernels::MemoryKind::kPinnedHost)),
      read_in(backend.create_event()),
      read_out(backend.create_event()) {
  Pieces device(device_memory.as<std::byte>()), pinned(pinned_memory.as<std::byte>());
  Arrays arrays;
  lay_out(shape, device, pinned, arrays);
  exchange = arrays.exchange;
  rows = arrays.rows;
  victims = arrays.victims;
  leaves = arrays.leaves;
  disk_slots = arrays.disk_slots;
}

}  // namespace mneme::offload
