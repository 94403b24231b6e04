// The lists of one round of a plan: which missing rows get which slots, and which rows make room.
// There are two sets, so that one round is planned while the transfers of the round before still
// read theirs.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/moves.h"
#include "offload/planner/slot_tier.h"

namespace mneme::offload {

struct RoundListsShape {
  std::int64_t rows = 0;  // the most of one round
  bool has_host_tier = false;
  bool keeps_uses = false;  // of the slots
};

struct RoundLists {
  // Memory that one set takes.
  static std::uint64_t device_bytes(const RoundListsShape& shape);
  static std::uint64_t pinned_bytes(const RoundListsShape& shape);

  RoundLists(kernels::Backend& backend, const RoundListsShape& shape);
  RoundLists(RoundLists&&) = default;

  ExchangeLists exchange;                 // device
  kernels::RowId* rows = nullptr;         // device: of bound rows
  VictimLists victims;                    // of the device tier. Device memory; pinned host memory
                                          // where there is no host tier, since the host itself then
                                          // sends them to the disk
  std::uint64_t* leaves = nullptr;        // [1], pinned host: Exchange::leaves
  kernels::SlotId* disk_slots = nullptr;  // pinned host: device slots of the rows on disk
  kernels::Buffer device_memory, pinned_memory;
  // The last transfers that read the lists are through.
  std::unique_ptr<kernels::Event> read_in, read_out;
};

}  // namespace mneme::offload
