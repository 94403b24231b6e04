// Operations of the device tier's step plan on the CPU backend: look up, bind, mark, clear, list.
// Replacement is in select_victims.cpp.
#include <cmath>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/thrust_policy.h"

namespace mneme::kernels::cpu {
namespace {

constexpr std::int64_t kSlotsPerTask = 4096;

// Selects positions whose slot is not there.
struct IsMissing {
  const SlotId* slots;
  bool operator()(std::uint32_t i) const { return slots[i] == kNoSlot; }
};

struct IsDirty {
  SlotTable table;
  bool operator()(std::uint32_t slot) const {
    return table.occupied[slot] != 0 && table.dirty[slot] != 0;
  }
};

void lookup(const SlotTable& table, const LookupSlotsArgs& args, Scratch& scratch) {
  parallel_chunks(args.count, kSlotsPerTask, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      args.slots[i] = ~table.slot_of_row[args.rows[i]];
    }
  });
  if (args.missing_count == nullptr) return;
  // The list goes to scratch first when the caller does not want it.
  std::uint32_t* index =
      args.missing_index != nullptr ? args.missing_index : scratch.take<std::uint32_t>(args.count);
  const std::int64_t missing =
      algorithms::select_indices(kPolicy, args.count, index, IsMissing{args.slots});
  if (args.missing_rows != nullptr) {
    for (std::int64_t i = 0; i < missing; ++i) args.missing_rows[i] = args.rows[index[i]];
  }
  *args.missing_count = static_cast<std::uint64_t>(missing);
}

void bind(const SlotTable& table, RowId row, SlotId slot, std::uint32_t use_counter) {
  table.slot_of_row[row] = ~slot;
  table.row_of_slot[slot] = row;
  table.occupied[slot] = 1;
  table.dirty[slot] = 0;
  table.last_used[slot] = use_counter;
  table.leased[slot] = 0;
  table.step_used[slot] = 0;
  table.frequency[slot] = 0;
  table.referenced[slot] = 0;
  if (table.inserted != nullptr) table.inserted[slot] = use_counter;
}

void count_use(const SlotTable& table, const MarkUsedArgs& args, SlotId slot) {
  const std::uint32_t passed = args.use_counter - table.last_used[slot];
  const float kept = args.frequency_decay == 1.0f
                         ? 1.0f
                         : std::pow(args.frequency_decay, static_cast<float>(passed));
  table.frequency[slot] = table.frequency[slot] * kept + 1.0f;
  // The use for which a row was brought in says nothing about later uses.
  if (passed != 0) table.referenced[slot] = 1;
  table.last_used[slot] = args.use_counter;
  table.step_used[slot] = args.step;
}

void mark(const SlotTable& table, const MarkUsedArgs& args, SlotId slot) {
  if (args.use) count_use(table, args, slot);
  if (args.lease) table.leased[slot] = args.use_counter;
  if (args.dirty) table.dirty[slot] = 1;
}

void check_table(const SlotTable& table) {
  CHECK(table.slots <= std::uint32_t{1} << 29);
  CHECK(table.slot_of_row != nullptr && table.row_of_slot != nullptr && table.dirty != nullptr &&
        table.last_used != nullptr && table.leased != nullptr && table.step_used != nullptr &&
        table.frequency != nullptr && table.referenced != nullptr && table.occupied != nullptr);
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
        bind(table, rows[i], slots[i], use_counter);
      }
    });
  });
}

void CpuBackend::mark_used(Stream& stream, const SlotTable& table, const MarkUsedArgs& args) {
  check_table(table);
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(args.count, kSlotsPerTask, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (args.slots[i] != kNoSlot) mark(table, args, args.slots[i]);
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
    const std::int64_t found =
        algorithms::select_indices(kPolicy, table.slots, slots, IsDirty{table});
    for (std::int64_t i = 0; i < found; ++i) rows[i] = table.row_of_slot[slots[i]];
    *count = static_cast<std::uint64_t>(found);
  });
}

}  // namespace mneme::kernels::cpu
