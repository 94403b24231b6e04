// Random events, and traces in memory.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "offload/trace/trace_file.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::offload::testing {

inline std::vector<std::uint32_t> random_list(std::mt19937_64& random, bool ascends) {
  std::vector<std::uint32_t> list(random() % 4 == 0 ? random() % 8 : random() % 300);
  for (std::uint32_t& x : list) {
    x = static_cast<std::uint32_t>(random() % 3 == 0 ? random() : random() % 1000);
  }
  if (!ascends) return list;
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list;
}

inline TraceEvent random_event(std::mt19937_64& random) {
  TraceEvent event;
  event.kind = static_cast<TraceKind>(1 + random() % 16);
  event.number = random() >> random() % 64;
  const auto account = [&] {
    return Account{static_cast<Cause>(random() % 6), static_cast<std::int32_t>(random() % 40) - 1,
                   static_cast<Pass>(random() % 4)};
  };
  switch (event.kind) {
    case TraceKind::kStart:
      event.continues = random() % 2 == 0;
      event.tiers = {.device_slots = random() >> 40,
                     .evaluation_slots = random() >> 50,
                     .host_slots = random(),
                     .record_bytes = random() % 5000,
                     .device_slot_bytes = random() % 6000,
                     .host_slot_bytes = random() % 6000,
                     .evaluation_millionths = random() % 1000000,
                     .disks = random() % 3,
                     .disk_bytes = random(),
                     .transfer_rows = 16384,
                     .host_link = random() >> 20,
                     .disk_link = 0,
                     .device_policy = kernels::ReplacementKind::kLfu,
                     .host_policy = kernels::ReplacementKind::kSieve};
      event.list = random_list(random, true);
      break;
    case TraceKind::kLease:
      event.account = account();
      event.read_only = random() % 2 == 0;
      event.moves_records = random() % 4 == 0;
      event.ascending = random() % 4 == 0;
      event.changes_rows = random() % 2 == 0;
      if (random() % 4 == 0) event.part_rows = 1 + random() % 100;
      event.list = random_list(random, true);
      break;
    case TraceKind::kHint:
      event.account = account();
      event.to_device = random() % 2 == 0;
      event.list = random_list(random, false);
      break;
    case TraceKind::kLookups:
      event.account = account();
      event.lookups_per_token = random() % 64;
      event.sequence = random() % 1000;
      event.list = random_list(random, false);
      break;
    case TraceKind::kTokens:
      event.list = random_list(random, false);
      break;
    default:
      break;
  }
  return event;
}

// Of which every third list of rows was there before.
inline std::vector<TraceEvent> random_events(std::uint64_t seed, std::size_t count) {
  std::mt19937_64 random(seed);
  std::vector<TraceEvent> events;
  std::vector<std::uint32_t> before;
  for (std::size_t i = 0; i < count; ++i) {
    events.push_back(random_event(random));
    if (events.back().kind != TraceKind::kLease) continue;
    if (random() % 3 == 0) events.back().list = before;
    before = events.back().list;
  }
  return events;
}

inline std::vector<TraceEvent> read_all(io::Disk& disk, const std::string& path) {
  TraceReader reader(disk, path);
  std::vector<TraceEvent> events;
  for (TraceEvent event; reader.next(event);) events.push_back(event);
  return events;
}

}  // namespace mneme::offload::testing
