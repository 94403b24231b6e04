// Operations of the device tier's step plan: look up, bind, mark, clear, list. Replacement is in
// select_victims.cu.
#include "kernels/slot_updates.h"

#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/take_indices.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
// Enough to keep the link to the host busy, for lists whose length only the device knows.
constexpr std::int64_t kListBlocks = 256;

__global__ void lookup_kernel(SlotTable table, const RowId* rows, std::int64_t count,
                              SlotId* slots) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) slots[i] = slot_updates::slot_of(table, rows[i]);
}

// Picks the indices for which a predicate holds.
template <typename Predicate>
struct ChooseIf {
  static constexpr int kClasses = 1;
  Predicate predicate;
  __device__ void load() {}
  __device__ std::uint64_t operator()(std::int64_t i) const {
    return predicate(i) ? kFirst : kNone;
  }
};

struct TakeIndex {
  std::uint32_t* out;
  __device__ void load() {}
  __device__ void operator()(std::int64_t i, std::uint64_t, std::uint32_t rank) const {
    out[rank] = static_cast<std::uint32_t>(i);
  }
};

// Writes the list to the host at once: no memory for each slot, at the price of short writes.
struct TakeSlot {
  const RowId* row_of_slot;
  SlotId* slots;
  RowId* rows;
  __device__ void load() {}
  __device__ void operator()(std::int64_t i, std::uint64_t, std::uint32_t rank) const {
    slots[rank] = static_cast<SlotId>(i);
    rows[rank] = row_of_slot[i];
  }
};

// count: null for 0.
__global__ void write_count_kernel(const std::uint64_t* count, std::uint64_t* out) {
  *out = count != nullptr ? *count : 0;
}

// Hands the list of missing rows to the host. Neighbouring threads write neighbouring words, which
// the link carries as whole lines. missing_rows, missing_index: or null.
__global__ void list_missing_kernel(const std::uint32_t* index, const std::uint64_t* count,
                                    LookupSlotsArgs args) {
  const auto length = static_cast<std::int64_t>(*count);
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i == 0) *args.missing_count = static_cast<std::uint64_t>(length);
  for (; i < length; i += step) {
    const std::uint32_t at = index[i];
    if (args.missing_index != nullptr) args.missing_index[i] = at;
    if (args.missing_rows != nullptr) args.missing_rows[i] = args.rows[at];
  }
}

void list_missing(Operation& operation, const LookupSlotsArgs& args) {
  const ChooseIf<slot_updates::IsMissing> choose{{args.slots}};
  auto* index = operation.take<std::uint32_t>(args.count);
  const TileCounts counts = count_indices(operation, args.count, choose);
  take_indices(operation, counts, choose, TakeIndex{index});
  operation.launch({std::min(blocks_for(args.count, kThreads), kListBlocks), kThreads},
                   list_missing_kernel, index, counts.all, args);
}

__global__ void bind_kernel(SlotTable table, const RowId* rows, const SlotId* slots,
                            std::int64_t count, std::uint32_t use_counter, DeviceReport* problem) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const RowId row = rows[i];
  const SlotId slot = slots[i];
  if (slot >= table.slots || table.occupied[slot] != 0) {
    report(problem, ReportCode::kSlotNotFree, slot, table.slots, row);
    return;
  }
  slot_updates::bind(table, row, slot, use_counter);
}

__global__ void mark_kernel(SlotTable table, MarkUsedArgs args) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= args.count) return;
  const SlotId slot = args.slots[i];
  if (slot != kNoSlot) slot_updates::mark(table, args, slot);
}

__global__ void clear_dirty_kernel(SlotTable table, const SlotId* slots, std::int64_t count) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count && slots[i] != kNoSlot) table.dirty[slots[i]] = 0;
}

Grid one_thread_each(std::int64_t count) {
  CHECK(count >= 0);
  return {blocks_for(count, kThreads), kThreads};
}

void check_table(const SlotTable& table) {
  CHECK(table.slots <= std::uint32_t{1} << 29);
  CHECK(slot_updates::is_complete(table));
}

}  // namespace

void CudaBackend::lookup_slots(Stream& stream, const SlotTable& table,
                               const LookupSlotsArgs& args) {
  check_table(table);
  Operation operation(stream, "lookup_slots");
  operation.launch(one_thread_each(args.count), lookup_kernel, table, args.rows, args.count,
                   args.slots);
  if (args.missing_count == nullptr) return;
  if (args.count > 0) {
    list_missing(operation, args);
  } else {
    operation.launch({1, 1}, write_count_kernel, nullptr, args.missing_count);
  }
}

void CudaBackend::bind_slots(Stream& stream, const SlotTable& table, const RowId* rows,
                             const SlotId* slots, std::int64_t count, std::uint32_t use_counter) {
  check_table(table);
  Operation operation(stream, "bind_slots");
  operation.launch(one_thread_each(count), bind_kernel, table, rows, slots, count, use_counter,
                   operation.report());
}

void CudaBackend::mark_used(Stream& stream, const SlotTable& table, const MarkUsedArgs& args) {
  check_table(table);
  Operation operation(stream, "mark_used");
  operation.launch(one_thread_each(args.count), mark_kernel, table, args);
}

void CudaBackend::clear_dirty(Stream& stream, const SlotTable& table, const SlotId* slots,
                              std::int64_t count) {
  check_table(table);
  Operation operation(stream, "clear_dirty");
  operation.launch(one_thread_each(count), clear_dirty_kernel, table, slots, count);
}

void CudaBackend::list_dirty(Stream& stream, const SlotTable& table, SlotId* slots, RowId* rows,
                             std::uint64_t* count) {
  check_table(table);
  Operation operation(stream, "list_dirty");
  const std::uint64_t* found = nullptr;
  if (table.slots > 0) {
    const ChooseIf<slot_updates::IsDirty> choose{{table}};
    const TileCounts counts = count_indices(operation, table.slots, choose);
    take_indices(operation, counts, choose, TakeSlot{table.row_of_slot, slots, rows});
    found = counts.all;
  }
  operation.launch({1, 1}, write_count_kernel, found, count);
}

}  // namespace mneme::kernels::cuda
