// Operations of the step plan that leave rows where they are: look up, mark, save, list, locate.
// Rows move in slot_moves.cu, replacement is in select_victims.cu.
#include <algorithm>

#include "kernels/cuda/count_one.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/take_indices.h"
#include "kernels/slot_updates.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
// Enough to keep the link to the host busy, for lists whose length only the device knows.
constexpr std::int64_t kListBlocks = 256;

__device__ __forceinline__ std::int64_t thread_index() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
Grid one_thread_each(std::int64_t count) {
  CHECK(count >= 0);
  return {blocks_for(count, kThreads), kThreads};
}

__global__ void reset_kernel(SlotTable table) {
  const std::int64_t slot = thread_index();
  if (slot == 0) {
    *table.totals = {};
    table.totals->free = table.slots;
  }
  if (slot < table.slots) slot_updates::reset(table, static_cast<SlotId>(slot));
}

// ---- lookup_slots ----

// found: where each row is. Reading it once costs a sector for each row, so it is kept. Beyond the
// rows there it says what is never missing.
__global__ void lookup_kernel(SlotTable device, SlotTable host, LookupSlotsArgs args,
                              Location* found) {
  const std::int64_t i = thread_index();
  if (i >= args.count) return;
  if (i >= slot_updates::rows_to_look_up(args)) {
    found[i] = location_of(Place::kDevice);
    return;
  }
  const Location location = device.locations[args.rows[i]];
  found[i] = location;
  bool takes_hint = false;
  args.slots[i] = slot_updates::look_up(device, host, args, location, &takes_hint);
  if (takes_hint) count_one(&device.totals->prefetch_used);
}

// The classes of missing rows, in the order of the list.
enum : int { kInHost, kUntouched, kOnDiskOnly, kMissingClasses };

struct ChooseMissing {
  static constexpr int kClasses = kMissingClasses;
  const Location* found;
  __device__ void load() {}
  __device__ int operator()(std::int64_t i) const {
    const Place place = place_of(found[i]);
    return place == Place::kHost        ? kInHost
           : place == Place::kUntouched ? kUntouched
           : place == Place::kDisk      ? kOnDiskOnly
                                        : kNone;
  }
};

using MissingCounts = ClassCounts<kMissingClasses>;

struct TakeMissing {
  std::uint32_t* missing;
  const MissingCounts* counts;
  std::uint32_t first_untouched = 0, first_on_disk = 0;
  __device__ void load() {
    first_untouched = counts->of[kInHost];
    first_on_disk = first_untouched + counts->of[kUntouched];
  }
  __device__ void operator()(std::int64_t i, int chosen, std::uint32_t rank) const {
    const std::uint32_t first = chosen == kInHost      ? 0
                                : chosen == kUntouched ? first_untouched
                                                       : first_on_disk;
    missing[first + rank] = static_cast<std::uint32_t>(i);
  }
};

// Hands the rows on disk to the host. Neighbouring threads write neighbouring words, which the link
// carries as whole lines.
__global__ void list_disk_rows_kernel(const std::uint32_t* missing, const MissingCounts* counts,
                                      const RowId* rows, RowId* disk_rows) {
  const std::int64_t first = std::int64_t{counts->of[kInHost]} + counts->of[kUntouched];
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = thread_index(); i < counts->of[kOnDiskOnly]; i += step) {
    disk_rows[i] = rows[missing[first + i]];
  }
}

// Rows that a prefetch has brought to the host tier.
struct ChooseHinted {
  static constexpr int kClasses = 1;
  SlotTable host;
  const Location* found;
  __device__ void load() {}
  __device__ int operator()(std::int64_t i) const {
    return slot_updates::is_hinted(host, found[i]) ? 0 : kNone;
  }
};
struct TakeHinted {
  const RowId* rows;
  RowId* hinted_rows;
  __device__ void load() {}
  __device__ void operator()(std::int64_t i, int, std::uint32_t rank) const {
    hinted_rows[rank] = rows[i];
  }
};

// What a look-up has counted; null for none.
struct LookupCounts {
  const MissingCounts* missing = nullptr;
  const ClassCounts<1>* hinted = nullptr;
};

__global__ void report_kernel(SlotTable device, SlotTable host, LookupSlotsArgs args,
                              LookupCounts found) {
  LookupReport report;
  report.count = slot_updates::rows_there(args);
  if (found.hinted != nullptr) report.hinted = found.hinted->of[0];
  const MissingCounts* const counts = found.missing;
  if (counts != nullptr) {
    report.in_host = counts->of[kInHost];
    report.untouched = counts->of[kUntouched];
    report.on_disk = counts->of[kOnDiskOnly];
  }
  report.device = slot_updates::totals_of(device);
  report.host = slot_updates::totals_of(host);
  *args.report = report;
}

// Counts and lists the missing rows as far as that is wanted.
const MissingCounts* list_missing(Operation& operation, const LookupSlotsArgs& args,
                                  const Location* found) {
  if (args.missing == nullptr && args.disk_rows == nullptr && args.report == nullptr) {
    return nullptr;
  }
  const ChooseMissing choose{found};
  const auto counts = count_indices(operation, args.count, choose);
  if (args.missing == nullptr && args.disk_rows == nullptr) return counts.all;
  std::uint32_t* const missing =
      args.missing != nullptr ? args.missing : operation.take<std::uint32_t>(args.count);
  take_indices(operation, counts, choose, TakeMissing{missing, counts.all});
  if (args.disk_rows != nullptr) {
    operation.launch({std::min(blocks_for(args.count, kThreads), kListBlocks), kThreads},
                     list_disk_rows_kernel, missing, counts.all, args.rows, args.disk_rows);
  }
  return counts.all;
}

const ClassCounts<1>* list_hinted(Operation& operation, const SlotTable& host,
                                  const LookupSlotsArgs& args, const Location* found) {
  if (args.hinted_rows == nullptr) return nullptr;
  const ChooseHinted choose{host, found};
  const auto counts = count_indices(operation, args.count, choose);
  take_indices(operation, counts, choose, TakeHinted{args.rows, args.hinted_rows});
  return counts.all;
}

// ---- marks ----

__global__ void mark_kernel(SlotTable table, MarkUsedArgs args) {
  const std::int64_t i = thread_index();
  if (i >= args.count) return;
  const SlotId slot = args.slots[i];
  if (slot != kNoSlot) slot_updates::mark(table, args, slot);
}

__global__ void mark_unsaved_kernel(SlotTable table) {
  const std::int64_t slot = thread_index();
  if (slot < table.slots) slot_updates::mark_unsaved(table, slot);
}

__global__ void take_unsaved_kernel(SlotTable device, SlotTable host, TakeUnsavedArgs args) {
  const std::int64_t i = thread_index();
  if (i >= args.count) return;
  const RowId row = args.rows[i];
  args.taken[i] = slot_updates::take_unsaved(device, host, row);
  if (args.taken_rows != nullptr) args.taken_rows[i] = row;
}

__global__ void locate_kernel(const Location* locations, const RowId* rows, std::int64_t count,
                              Location* out) {
  const std::int64_t i = thread_index();
  if (i < count) out[i] = locations[rows[i]];
}

// ---- count_spare_slots ----

struct ChooseSpare {
  static constexpr int kClasses = 1;
  slot_updates::IsSpare is_spare;
  __device__ void load() {}
  __device__ int operator()(std::int64_t i) const { return is_spare(i) ? 0 : kNone; }
};

// ---- list_dirty ----

struct ChooseDirty {
  static constexpr int kClasses = 1;
  slot_updates::IsDirty is_dirty;
  __device__ void load() {}
  __device__ int operator()(std::int64_t i) const { return is_dirty(i) ? 0 : kNone; }
};

// Writes the list to the host at once: no memory for each slot, at the price of short writes.
struct TakeSlot {
  const RowId* row_of_slot;
  SlotId* slots;
  RowId* rows;
  __device__ void load() {}
  __device__ void operator()(std::int64_t i, int, std::uint32_t rank) const {
    slots[rank] = static_cast<SlotId>(i);
    rows[rank] = row_of_slot[i];
  }
};

// count: null for 0.
__global__ void write_count_kernel(const ClassCounts<1>* count, std::uint64_t* out) {
  *out = count != nullptr ? count->of[0] : 0;
}

}  // namespace

void CudaBackend::reset_slots(Stream& stream, const SlotTable& table) {
  CHECK(slot_updates::is_table(table));
  Operation operation(stream, "reset_slots");
  operation.launch(one_thread_each(std::max<std::int64_t>(1, table.slots)), reset_kernel, table);
}

void CudaBackend::lookup_slots(Stream& stream, const SlotTable& device, const SlotTable& host,
                               const LookupSlotsArgs& args) {
  CHECK(slot_updates::are_tiers(device, host));
  CHECK(args.count >= 0 && (args.count == 0 || (args.rows != nullptr && args.slots != nullptr)));
  Operation operation(stream, "lookup_slots");
  LookupCounts counts;
  if (args.count > 0) {
    auto* found = operation.take<Location>(args.count);
    operation.launch(one_thread_each(args.count), lookup_kernel, device, host, args, found);
    counts.missing = list_missing(operation, args, found);
    counts.hinted = list_hinted(operation, host, args, found);
  }
  if (args.report == nullptr) return;
  operation.launch({1, 1}, report_kernel, device, host, args, counts);
}

void CudaBackend::mark_used(Stream& stream, const SlotTable& table, const MarkUsedArgs& args) {
  CHECK(slot_updates::is_table(table));
  Operation operation(stream, "mark_used");
  operation.launch(one_thread_each(args.count), mark_kernel, table, args);
}

void CudaBackend::mark_unsaved(Stream& stream, const SlotTable& table) {
  CHECK(slot_updates::is_table(table));
  Operation operation(stream, "mark_unsaved");
  operation.launch(one_thread_each(table.slots), mark_unsaved_kernel, table);
}

void CudaBackend::take_unsaved(Stream& stream, const SlotTable& device, const SlotTable& host,
                               const TakeUnsavedArgs& args) {
  CHECK(slot_updates::are_tiers(device, host));
  Operation operation(stream, "take_unsaved");
  operation.launch(one_thread_each(args.count), take_unsaved_kernel, device, host, args);
}

void CudaBackend::locate_rows(Stream& stream, const Location* locations, const RowId* rows,
                              std::int64_t count, Location* out) {
  CHECK(locations != nullptr);
  Operation operation(stream, "locate_rows");
  operation.launch(one_thread_each(count), locate_kernel, locations, rows, count, out);
}

void CudaBackend::count_spare_slots(Stream& stream, const SlotTable& table,
                                    const CountSpareArgs& args) {
  CHECK(slot_updates::is_table(table));
  Operation operation(stream, "count_spare_slots");
  const ClassCounts<1>* found = nullptr;
  if (table.slots > 0) {
    found = count_indices(operation, table.slots, ChooseSpare{{table, args}}).all;
  }
  operation.launch({1, 1}, write_count_kernel, found, args.count);
}

void CudaBackend::list_dirty(Stream& stream, const SlotTable& table, SlotId* slots, RowId* rows,
                             std::uint64_t* count) {
  CHECK(slot_updates::is_table(table));
  Operation operation(stream, "list_dirty");
  const ClassCounts<1>* found = nullptr;
  if (table.slots > 0) {
    const ChooseDirty choose{{table}};
    const auto counts = count_indices(operation, table.slots, choose);
    take_indices(operation, counts, choose, TakeSlot{table.row_of_slot, slots, rows});
    found = counts.all;
  }
  operation.launch({1, 1}, write_count_kernel, found, count);
}

}  // namespace mneme::kernels::cuda
