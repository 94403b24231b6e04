// Operations of the step plan on the CPU backend that leave rows where they are: look up, mark,
// save, list, locate. Rows move in slot_moves.cpp, replacement is in select_victims.cpp.
#include <atomic>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/thrust_policy.h"
#include "kernels/slot_updates.h"

namespace mneme::kernels::cpu {
namespace {

constexpr std::int64_t kEntriesPerTask = 4096;

// Calls body(i) for i in [0, count), in parallel.
template <typename Body>
void for_each_entry(std::int64_t count, const Body& body) {
  parallel_chunks(count, kEntriesPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i);
  });
}

struct IsIn {
  const Location* found;
  Place place;
  bool operator()(std::uint32_t i) const { return place_of(found[i]) == place; }
};

// Lists the missing rows by tier. found: where each of the `count` rows is.
LookupReport list_missing(const SlotTable& host, const LookupSlotsArgs& args, std::int64_t count,
                          const Location* found, Scratch& scratch) {
  std::uint32_t* missing =
      args.missing != nullptr ? args.missing : scratch.take<std::uint32_t>(args.count);
  std::int64_t listed = 0;
  const auto list = [&](Place place) {
    const std::int64_t more = select_indices(count, missing + listed, IsIn{found, place});
    listed += more;
    return static_cast<std::uint64_t>(more);
  };
  LookupReport report;
  report.in_host = list(Place::kHost);
  report.untouched = list(Place::kUntouched);
  const std::uint32_t* const on_disk = missing + listed;
  report.on_disk = list(Place::kDisk);
  if (args.disk_rows != nullptr) {
    for_each_entry(static_cast<std::int64_t>(report.on_disk),
                   [=](std::int64_t i) { args.disk_rows[i] = args.rows[on_disk[i]]; });
  }
  if (args.hinted_rows != nullptr) {
    for (std::uint64_t i = 0; i < report.in_host; ++i) {
      if (!slot_updates::is_hinted(host, found[missing[i]])) continue;
      args.hinted_rows[report.hinted++] = args.rows[missing[i]];
    }
  }
  return report;
}

void lookup(const SlotTable& device, const SlotTable& host, const LookupSlotsArgs& args,
            Scratch& scratch) {
  const std::int64_t count = slot_updates::rows_to_look_up(args);
  auto* found = scratch.take<Location>(args.count);
  std::atomic<std::uint64_t> hints_used = 0;
  for_each_entry(count, [&](std::int64_t i) {
    found[i] = device.locations[args.rows[i]];
    bool takes_hint = false;
    args.slots[i] = slot_updates::look_up(device, host, args, found[i], &takes_hint);
    if (takes_hint) hints_used.fetch_add(1, std::memory_order_relaxed);
  });
  device.totals->prefetch_used += hints_used;
  LookupReport report;
  if (args.missing != nullptr || args.disk_rows != nullptr || args.hinted_rows != nullptr ||
      args.report != nullptr) {
    report = list_missing(host, args, count, found, scratch);
  }
  if (args.report == nullptr) return;
  report.count = slot_updates::rows_there(args);
  report.device = slot_updates::totals_of(device);
  report.host = slot_updates::totals_of(host);
  *args.report = report;
}

}  // namespace

void CpuBackend::reset_slots(Stream& stream, const SlotTable& table) {
  CHECK(slot_updates::is_table(table));
  on(stream).enqueue([=](Scratch&) {
    for_each_entry(table.slots, [=](std::int64_t slot) {
      slot_updates::reset(table, static_cast<SlotId>(slot));
    });
    *table.totals = {.free = table.slots};
  });
}

void CpuBackend::lookup_slots(Stream& stream, const SlotTable& device, const SlotTable& host,
                              const LookupSlotsArgs& args) {
  CHECK(slot_updates::are_tiers(device, host));
  CHECK(args.count >= 0 && (args.count == 0 || (args.rows != nullptr && args.slots != nullptr)));
  on(stream).enqueue([=](Scratch& scratch) { lookup(device, host, args, scratch); });
}

void CpuBackend::mark_used(Stream& stream, const SlotTable& table, const MarkUsedArgs& args) {
  CHECK(slot_updates::is_table(table) && args.count >= 0);
  on(stream).enqueue([=](Scratch&) {
    for_each_entry(args.count, [=](std::int64_t i) {
      if (args.slots[i] != kNoSlot) slot_updates::mark(table, args, args.slots[i]);
    });
  });
}

void CpuBackend::mark_saved(Stream& stream, const SlotTable& table, const SlotId* slots,
                            std::int64_t count) {
  CHECK(slot_updates::is_table(table) && count >= 0);
  on(stream).enqueue([=](Scratch&) {
    for_each_entry(count, [=](std::int64_t i) {
      if (slots[i] != kNoSlot) slot_updates::mark_saved(table, slots[i]);
    });
  });
}

void CpuBackend::locate_rows(Stream& stream, const Location* locations, const RowId* rows,
                             std::int64_t count, Location* out) {
  CHECK(locations != nullptr && count >= 0);
  on(stream).enqueue([=](Scratch&) {
    for_each_entry(count, [=](std::int64_t i) { out[i] = locations[rows[i]]; });
  });
}

void CpuBackend::list_dirty(Stream& stream, const SlotTable& table, SlotId* slots, RowId* rows,
                            std::uint64_t* count) {
  CHECK(slot_updates::is_table(table));
  on(stream).enqueue([=](Scratch&) {
    const std::int64_t found = select_indices(table.slots, slots, slot_updates::IsDirty{table});
    for (std::int64_t i = 0; i < found; ++i) rows[i] = table.row_of_slot[slots[i]];
    *count = static_cast<std::uint64_t>(found);
  });
}

}  // namespace mneme::kernels::cpu
