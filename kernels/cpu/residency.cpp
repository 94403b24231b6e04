// Operations of the step plan on the CPU backend that leave rows where they are: look up, mark,
// save, list, locate. Rows move in slot_moves.cpp, replacement is in select_victims.cpp.
#include <algorithm>
#include <atomic>
#include <numeric>
#include <utility>

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

// The rows of a look-up that are not on the device, counted by where they are.
struct MissingCounts {
  std::int64_t in_host = 0, untouched = 0, on_disk = 0;
};

// Looks up rows [begin, end); found: where each one is.
MissingCounts look_up(const SlotTable& device, const SlotTable& host, const LookupSlotsArgs& args,
                      std::int64_t begin, std::int64_t end, std::int64_t count, Location* found) {
  MissingCounts missing;
  std::uint64_t hints_used = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    if (i + kPrefetchAhead < count)
      __builtin_prefetch(&device.locations[args.rows[i + kPrefetchAhead]]);
    found[i] = device.locations[args.rows[i]];
    bool takes_hint = false;
    args.slots[i] = slot_updates::look_up(device, host, args, found[i], &takes_hint);
    hints_used += takes_hint ? 1 : 0;
    const Place place = place_of(found[i]);
    missing.in_host += place == Place::kHost ? 1 : 0;
    missing.untouched += place == Place::kUntouched ? 1 : 0;
    missing.on_disk += place == Place::kDisk ? 1 : 0;
  }
  if (hints_used > 0) std::atomic_ref(device.totals->prefetch_used).fetch_add(hints_used);
  return missing;
}

// Lists the missing rows among [begin, end); at: where its part of each list starts.
void list_missing(const LookupSlotsArgs& args, std::int64_t begin, std::int64_t end,
                  const Location* found, MissingCounts at, std::int64_t first_on_disk) {
  for (std::int64_t i = begin; i < end; ++i) {
    const Place place = place_of(found[i]);
    if (place == Place::kDevice) continue;
    if (place == Place::kDisk && args.disk_rows != nullptr) {
      args.disk_rows[at.on_disk - first_on_disk] = args.rows[i];
    }
    std::int64_t& next = place == Place::kHost        ? at.in_host
                         : place == Place::kUntouched ? at.untouched
                                                      : at.on_disk;
    if (args.missing != nullptr) args.missing[next] = static_cast<std::uint32_t>(i);
    ++next;
  }
}

std::uint64_t list_hinted(const SlotTable& host, const LookupSlotsArgs& args, std::int64_t count,
                          const Location* found) {
  std::uint64_t hinted = 0;
  if (args.hinted_rows == nullptr) return hinted;
  for (std::int64_t i = 0; i < count; ++i) {
    if (slot_updates::is_hinted(host, found[i])) args.hinted_rows[hinted++] = args.rows[i];
  }
  return hinted;
}

void lookup(const SlotTable& device, const SlotTable& host, const LookupSlotsArgs& args,
            Scratch& scratch) {
  const std::int64_t count = slot_updates::rows_to_look_up(args);
  const std::int64_t chunks = chunk_count(count, kEntriesPerTask);
  auto* found = scratch.take<Location>(args.count);
  auto* counts = scratch.take<MissingCounts>(chunks + 1);
  const auto end_of = [=](std::int64_t chunk) {
    return std::min(count, (chunk + 1) * kEntriesPerTask);
  };
  parallel_tasks(chunks, [=](std::int64_t chunk) {
    counts[chunk] =
        look_up(device, host, args, chunk * kEntriesPerTask, end_of(chunk), count, found);
  });
  MissingCounts all;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    all.in_host += counts[chunk].in_host;
    all.untouched += counts[chunk].untouched;
    all.on_disk += counts[chunk].on_disk;
  }
  LookupReport report;
  report.in_host = static_cast<std::uint64_t>(all.in_host);
  report.untouched = static_cast<std::uint64_t>(all.untouched);
  report.on_disk = static_cast<std::uint64_t>(all.on_disk);
  if (args.missing != nullptr || args.disk_rows != nullptr) {
    // Where each chunk's part of each list starts.
    const std::int64_t first_on_disk = all.in_host + all.untouched;
    MissingCounts at{0, all.in_host, first_on_disk};
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const MissingCounts mine = std::exchange(counts[chunk], at);
      at.in_host += mine.in_host;
      at.untouched += mine.untouched;
      at.on_disk += mine.on_disk;
    }
    parallel_tasks(chunks, [=](std::int64_t chunk) {
      list_missing(args, chunk * kEntriesPerTask, end_of(chunk), found, counts[chunk],
                   first_on_disk);
    });
  }
  report.hinted = list_hinted(host, args, count, found);
  if (args.report == nullptr) return;
  report.count = slot_updates::rows_there(args);
  report.device = slot_updates::totals_of(device);
  report.host = slot_updates::totals_of(host);
  *args.report = report;
}

// Asks early for what mark() will change.
void prefetch(const SlotTable& table, const MarkUsedArgs& args, SlotId slot) {
  if (slot == kNoSlot) return;
  if (args.keep) {
    __builtin_prefetch(&table.state[slot], 1);
    __builtin_prefetch(&table.step_used[slot], 1);
    return;
  }
  if (args.lease) __builtin_prefetch(&table.leased[slot], 1);
  if (args.dirty) __builtin_prefetch(&table.state[slot], 1);
  if (!args.use) return;
  __builtin_prefetch(&table.frequency[slot], 1);
  __builtin_prefetch(&table.last_used[slot], 1);
  __builtin_prefetch(&table.step_used[slot], 1);
  __builtin_prefetch(&table.referenced[slot], 1);
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
      if (i + kPrefetchAhead < args.count) prefetch(table, args, args.slots[i + kPrefetchAhead]);
      if (args.slots[i] != kNoSlot) slot_updates::mark(table, args, args.slots[i]);
    });
  });
}

void CpuBackend::mark_unsaved(Stream& stream, const SlotTable& table) {
  CHECK(slot_updates::is_table(table));
  on(stream).enqueue([=](Scratch&) {
    for_each_entry(table.slots,
                   [=](std::int64_t slot) { slot_updates::mark_unsaved(table, slot); });
  });
}

void CpuBackend::take_unsaved(Stream& stream, const SlotTable& device, const SlotTable& host,
                              const TakeUnsavedArgs& args) {
  CHECK(slot_updates::are_tiers(device, host) && args.count >= 0);
  on(stream).enqueue([=](Scratch&) {
    for_each_entry(args.count, [=](std::int64_t i) {
      if (i + kPrefetchAhead < args.count) {
        __builtin_prefetch(&device.locations[args.rows[i + kPrefetchAhead]]);
      }
      args.taken[i] = slot_updates::take_unsaved(device, host, args.rows[i]);
      if (args.taken_rows != nullptr) args.taken_rows[i] = args.rows[i];
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

void CpuBackend::count_spare_slots(Stream& stream, const SlotTable& table,
                                   const CountSpareArgs& args) {
  CHECK(slot_updates::is_table(table));
  on(stream).enqueue([=](Scratch& scratch) {
    constexpr std::int64_t kChunk = 32768;
    const std::int64_t chunks = chunk_count(table.slots, kChunk);
    auto* const counts = scratch.take<std::uint64_t>(chunks);
    const slot_updates::IsSpare is_spare{table, args};
    parallel_tasks(chunks, [=](std::int64_t chunk) {
      const std::int64_t end = std::min<std::int64_t>(table.slots, (chunk + 1) * kChunk);
      std::uint64_t count = 0;
      for (std::int64_t slot = chunk * kChunk; slot < end; ++slot) count += is_spare(slot) ? 1 : 0;
      counts[chunk] = count;
    });
    *args.count = std::accumulate(counts, counts + chunks, std::uint64_t{0});
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
