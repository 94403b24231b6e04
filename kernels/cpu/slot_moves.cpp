// Operations of the step plan on the CPU backend that move rows between tiers and slots into and
// out of the queues of free ones (kernels/slot_moves.h).
#include "kernels/slot_moves.h"

#include <algorithm>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/thrust_policy.h"

namespace mneme::kernels::cpu {
namespace {

constexpr std::int64_t kRowsPerTask = 4096;

void fail_if(const SlotViolation& violation) {
  if (violation.kind != SlotViolation::Kind::kNone) fail_with(violation);
}

// Calls move(i), which returns a violation, for i in [0, count), in parallel.
template <typename Move>
void for_each_move(std::int64_t count, const Move& move) {
  parallel_chunks(count, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) fail_if(move(i));
  });
}

void bind(const SlotTable& device, const SlotTable& host, const BindMissingArgs& args,
          Scratch& scratch) {
  std::uint64_t* host_rows = nullptr;
  if (!args.copy_only && host.slots == 0) {
    host_rows = scratch.take<std::uint64_t>(args.count);
    std::fill_n(host_rows, args.count, 0);
  } else if (!args.copy_only) {
    host_rows = scratch.take<std::uint64_t>(args.count);
    algorithms::running_sums_of(kPolicy, slot_moves::CountHostRows{host, device.locations, args},
                                host_rows, args.count);
  }
  for_each_move(args.count, [=](std::int64_t i) {
    if (i + kPrefetchAhead < args.count) {
      __builtin_prefetch(&device.locations[args.rows[args.missing[i + kPrefetchAhead]]], 1);
    }
    return slot_moves::bind_missing(device, host, args, host_rows, i);
  });
  if (!args.copy_only) {
    slot_moves::finish_bind(device, host, args.count, host_rows[args.count - 1]);
  }
}

void demote(const SlotTable& device, const SlotTable& host, const DemoteVictimsArgs& args,
            Scratch& scratch) {
  auto* kept = scratch.take<std::uint64_t>(args.most);
  algorithms::running_sums_of(kPolicy, slot_moves::CountVictims{args}, kept, args.most);
  for_each_move(args.most, [=](std::int64_t i) {
    if (i + kPrefetchAhead < args.most) {
      __builtin_prefetch(&device.locations[args.rows[i + kPrefetchAhead]], 1);
    }
    return slot_moves::demote(device, host, args, kept, i);
  });
  slot_moves::finish_demote(device, host, args, kept[args.most - 1]);
}

}  // namespace

void CpuBackend::bind_missing(Stream& stream, const SlotTable& device, const SlotTable& host,
                              const BindMissingArgs& args) {
  CHECK(slot_updates::are_tiers(device, host));
  CHECK(args.count >= 0);
  if (args.count == 0) return;
  CHECK(args.rows != nullptr && args.missing != nullptr);
  CHECK(args.copy_only || args.slots != nullptr);
  on(stream).enqueue([=](Scratch& scratch) { bind(device, host, args, scratch); });
}

void CpuBackend::demote_victims(Stream& stream, const SlotTable& device, const SlotTable& host,
                                const DemoteVictimsArgs& args) {
  CHECK(slot_updates::are_tiers(device, host));
  CHECK(args.most >= 0);
  if (args.most == 0) return;
  CHECK(args.slots != nullptr && args.rows != nullptr && args.state != nullptr &&
        args.last_used != nullptr && args.step_used != nullptr && args.frequency != nullptr &&
        args.count != nullptr && args.from != nullptr && args.to != nullptr);
  CHECK((args.uses != nullptr) == (host.uses != nullptr));
  on(stream).enqueue([=](Scratch& scratch) { demote(device, host, args, scratch); });
}

void CpuBackend::release_slots(Stream& stream, const SlotTable& table, const SlotId* slots,
                               const std::uint64_t* count, std::int64_t most) {
  CHECK(slot_updates::is_table(table) && count != nullptr && most >= 0);
  on(stream).enqueue([=](Scratch&) {
    const auto listed = std::min(*count, static_cast<std::uint64_t>(most));
    for_each_move(static_cast<std::int64_t>(listed),
                  [=](std::int64_t i) { return slot_moves::release(table, i, slots[i]); });
    fail_if(slot_moves::finish_release(table, *count, most));
  });
}

void CpuBackend::take_slots(Stream& stream, const SlotTable& table, std::int64_t most,
                            SlotId* slots, std::uint64_t* count) {
  CHECK(slot_updates::is_table(table) && count != nullptr && most >= 0);
  on(stream).enqueue([=](Scratch&) {
    const auto taken = std::min<std::int64_t>(most, slot_moves::free_slots(table));
    for (std::int64_t i = 0; i < taken; ++i) {
      slots[i] = slot_moves::free_slot(table, static_cast<std::uint32_t>(i));
    }
    *count = slot_moves::advance(table, static_cast<std::uint64_t>(most));
  });
}

void CpuBackend::publish_rows(Stream& stream, const SlotTable& host, const PublishRowsArgs& args) {
  CHECK(slot_updates::is_table(host) && host.place == Place::kHost && args.count >= 0);
  on(stream).enqueue([=](Scratch&) {
    for_each_move(args.count, [=](std::int64_t i) { return slot_moves::publish(host, args, i); });
  });
}

void CpuBackend::place_on_disk(Stream& stream, Location* locations, const RowId* rows,
                               std::int64_t count) {
  CHECK(locations != nullptr && count >= 0);
  on(stream).enqueue([=](Scratch&) {
    for_each_move(count,
                  [=](std::int64_t i) { return slot_moves::place_on_disk(locations, rows[i]); });
  });
}

}  // namespace mneme::kernels::cpu
