// The plan of a lease, computed in bulk on the device: which rows are missing there, which slots
// they get, and which rows have to leave. All of it is queued on the plan's stream. The host learns
// how many missing rows are in each tier, and which of them it has to read from the disk.
//
// A lease that misses more rows than one list can hold is planned in rounds. There are two sets of
// lists, so that one round is planned while the transfers of the round before still read theirs.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/device_array.h"
#include "offload/tiers.h"
#include "offload/write_back.h"

namespace mneme::offload {

// How many of a lease's rows are not on the device, by where they are. The plan's list of missing
// rows has them in this order.
struct LeaseRows {
  std::int64_t in_host = 0, untouched = 0, on_disk = 0;
  std::int64_t missing() const { return in_host + untouched + on_disk; }
};

struct LeaseWanted {
  const kernels::RowId* rows = nullptr;  // device, [count]
  kernels::SlotId* slots = nullptr;      // device, [count]: filled in
  std::int64_t count = 0;
  std::uint32_t lease = 0;             // number of the lease; 0: read-only
  std::uint32_t first_live_lease = 0;  // slots of this and later leases cannot become victims
  std::int64_t held_host_slots = 0;    // host slots that prefetches have reserved
};

// One round of a lease: some of its missing rows, and the lists that say where they go.
struct Round {
  LeaseRows rows;
  std::int64_t first = 0;                            // in the lease's missing rows
  std::int64_t victims = 0;                          // device slots that have to be emptied
  Exchange exchange;                                 // with the host tier
  const kernels::RowId* untouched_rows = nullptr;    // device, [rows.untouched]
  const kernels::SlotId* untouched_slots = nullptr;  // device
  std::span<const kernels::RowId> disk_rows;         // host memory
  const kernels::SlotId* disk_slots = nullptr;       // pinned host, [rows.on_disk]: filled once the
                                                     // plan's stream has run
};

class LeasePlan {
 public:
  LeasePlan(Tiers& tiers, WriteBack& write_back);

  // Looks the rows up and waits for the counts of the missing ones.
  LeaseRows look_up(const LeaseWanted& wanted);
  // Of the last look-up or report().
  const kernels::LookupReport& last_report() const { return report_[0]; }
  // The next round of the lease; queues nothing. `left`: the missing rows that no round has brought
  // yet; `done`: how many earlier rounds have brought.
  Round next_round(const LeaseWanted& wanted, const LeaseRows& left, std::int64_t done) const;
  // The rows on disk that rounds after this one will bring.
  std::span<const kernels::RowId> disk_rows_after(const Round& round) const {
    const kernels::RowId* next = round.disk_rows.data() + round.disk_rows.size();
    return {next, disk_rows_.data() + all_on_disk_};
  }
  // Plans the round: frees host slots, chooses victims, assigns slots. May wait for the disk. For a
  // read-only lease no table changes: row i of the lease gets slot i of the evaluation arena.
  void plan(const LeaseWanted& wanted, Round& round);
  // To be called when the round's transfers are queued: its lists are used again after them. Frees
  // a host slot for the next exchange where there is none, for which it may wait for the disk.
  void queued(const LeaseWanted& wanted);

  // Queues a report, the state of both slot tables: last_report() once the plan's stream has got
  // there.
  void queue_report();
  // The same, and waits for the plan's stream.
  const kernels::LookupReport& report();
  std::int64_t round_length() const { return round_length_; }
  // Without a host tier: how many victims were dropped because they still had their initial value.
  std::uint64_t forgotten() const { return forgotten_; }

 private:
  struct Lists {
    kernels::Buffer memory;  // device
    ExchangeLists exchange;
    kernels::RowId* rows = nullptr;  // of bound rows
    VictimLists victims;
    kernels::Buffer host_memory;  // pinned
    kernels::SlotId* disk_slots = nullptr;
    std::unique_ptr<kernels::Event> read_in, read_out;  // the last transfers are through
  };
  static constexpr std::int64_t kRoundRows = std::int64_t{1} << 19;

  void make_lists(Lists& lists);
  void make_room(const LeaseWanted& wanted, const Round& round);
  void evict(const LeaseWanted& wanted, const Round& round);
  void bind(const LeaseWanted& wanted, Round& round);
  void demote(Round& round);
  std::int64_t spare_slots() const;
  Lists& lists() { return lists_[current_]; }
  bool has_host() const { return tiers_.host.slots() > 0; }

  Tiers& tiers_;
  WriteBack& write_back_;
  std::int64_t round_length_;
  kernels::DeviceArray<std::uint32_t> missing_;         // [the most rows of a lease]
  kernels::DeviceArray<kernels::LookupReport> report_;  // [1], pinned host
  kernels::DeviceArray<kernels::RowId> disk_rows_;      // [the most rows of a lease], pinned host
  std::array<Lists, 2> lists_;
  std::size_t current_ = 0;
  // Free slots as the host knows them: of the host tier at the least.
  std::int64_t free_device_ = 0, free_host_ = 0;
  std::int64_t all_on_disk_ = 0;  // rows of the last look-up
  std::uint64_t forgotten_ = 0;
};

}  // namespace mneme::offload
