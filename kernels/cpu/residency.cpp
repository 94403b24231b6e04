// Operations of the device tier's step plan on the CPU backend: look up, bind, mark, clear, list.
// Replacement is in select_victims.cpp.
#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/thrust_policy.h"
#include "kernels/slot_updates.h"

namespace mneme::kernels::cpu {
namespace {

constexpr std::int64_t kSlotsPerTask = 4096;

void lookup(const SlotTable& table, const LookupSlotsArgs& args, Scratch& scratch) {
  parallel_chunks(args.count, kSlotsPerTask, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      args.slots[i] = slot_updates::slot_of(table, args.rows[i]);
    }
  });
  if (args.missing_count == nullptr) return;
  // The list goes to scratch first when the caller does not want it.
  std::uint32_t* index =
      args.missing_index != nullptr ? args.missing_index : scratch.take<std::uint32_t>(args.count);
  const std::int64_t missing =
      select_indices(args.count, index, slot_updates::IsMissing{args.slots});
  if (args.missing_rows != nullptr) {
    for (std::int64_t i = 0; i < missing; ++i) args.missing_rows[i] = args.rows[index[i]];
  }
  *args.missing_count = static_cast<std::uint64_t>(missing);
}

void check_table(const SlotTable& table) {
  CHECK(table.slots <= std::uint32_t{1} << 29);
  CHECK(slot_updates::is_complete(table));
}

}  // namespace

void CpuBackend::lookup_slots(Stream& stream, const SlotTable& table, const LookupSlotsArgs& args) {
  check_table(table);
  on(stream).enqueue([=](Scratch& scratch) { lookup(table, args, scratch); });
}

void CpuBackend::bind_slots(Stream& stream, const SlotTable& table, const RowId* rows,
                            const SlotId* slots, std::int64_t count, std::uint32_t use_counter) {
  check_table(table);
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(count, kSlotsPerTask, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        CHECK(slots[i] < table.slots && table.occupied[slots[i]] == 0,
              "slot {} of {} for row {} is not free", slots[i], table.slots, rows[i]);
        slot_updates::bind(table, rows[i], slots[i], use_counter);
      }
    });
  });
}

void CpuBackend::mark_used(Stream& stream, const SlotTable& table, const MarkUsedArgs& args) {
  check_table(table);
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(args.count, kSlotsPerTask, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (args.slots[i] != kNoSlot) slot_updates::mark(table, args, args.slots[i]);
      }
    });
  });
}

void CpuBackend::clear_dirty(Stream& stream, const SlotTable& table, const SlotId* slots,
                             std::int64_t count) {
  check_table(table);
  on(stream).enqueue([=](Scratch&) {
    for (std::int64_t i = 0; i < count; ++i) {
      if (slots[i] != kNoSlot) table.dirty[slots[i]] = 0;
    }
  });
}

void CpuBackend::list_dirty(Stream& stream, const SlotTable& table, SlotId* slots, RowId* rows,
                            std::uint64_t* count) {
  check_table(table);
  on(stream).enqueue([=](Scratch&) {
    const std::int64_t found = select_indices(table.slots, slots, slot_updates::IsDirty{table});
    for (std::int64_t i = 0; i < found; ++i) rows[i] = table.row_of_slot[slots[i]];
    *count = static_cast<std::uint64_t>(found);
  });
}

}  // namespace mneme::kernels::cpu
