#include "offload/lease_plan.h"

#include <algorithm>

#include "io/check.h"
#include "io/error.h"

namespace mneme::offload {

using kernels::MemoryKind;
using kernels::RowId;
using kernels::SlotId;

LeasePlan::LeasePlan(Tiers& tiers, WriteBack& write_back) : tiers_(tiers), write_back_(write_back) {
  const std::int64_t most = std::max(tiers.device.slots(), tiers.device.evaluation_slots());
  round_length_ = std::min(kRoundRows, most);
  missing_ = {tiers.backend, most};
  report_ = kernels::pinned_array<kernels::LookupReport>(tiers.backend, 1);
  disk_rows_ = kernels::pinned_array<RowId>(tiers.backend, most);
  for (Lists& lists : lists_) make_lists(lists);
  free_device_ = tiers.device.slots();
  free_host_ = tiers.host.slots();
}

void LeasePlan::make_lists(Lists& lists) {
  const auto length = static_cast<std::size_t>(round_length_);
  const auto take = [length]<typename T>(std::byte*& next, T*& array) {
    array = reinterpret_cast<T*>(next);
    next += length * sizeof(T);
  };
  // The count, words of four bytes, then the victims' state: all of them aligned.
  constexpr std::size_t kWord = sizeof(SlotId), kCount = sizeof(std::uint64_t);
  const bool keeps_uses = tiers_.host.table().uses != nullptr;
  const std::size_t words = keeps_uses ? 10 : 9;
  lists.memory =
      tiers_.backend.allocate(kCount + length * (words * kWord + 1), MemoryKind::kDevice);
  lists.host_memory =
      tiers_.backend.allocate(kCount + length * (3 * kWord + 1), MemoryKind::kPinnedHost);
  std::byte* next = lists.memory.as<std::byte>() + sizeof(std::uint64_t);
  std::byte* host_next = lists.host_memory.as<std::byte>() + sizeof(std::uint64_t);
  take(next, lists.exchange.arriving_from);
  take(next, lists.exchange.arriving_to);
  take(next, lists.exchange.leaving_from);
  take(next, lists.exchange.leaving_to);
  take(next, lists.rows);
  take(host_next, lists.disk_slots);
  // Without a host tier the host itself sends victims to the disk.
  std::byte*& victims_next = has_host() ? next : host_next;
  lists.victims.count = (has_host() ? lists.memory : lists.host_memory).as<std::uint64_t>();
  take(victims_next, lists.victims.slots);
  take(victims_next, lists.victims.rows);
  if (has_host()) {
    take(next, lists.victims.last_used);
    take(next, lists.victims.frequency);
    if (keeps_uses) take(next, lists.victims.uses);
  }
  take(victims_next, lists.victims.state);
  lists.read_in = tiers_.backend.create_event();
  lists.read_out = tiers_.backend.create_event();
}

LeaseRows LeasePlan::look_up(const LeaseWanted& wanted) {
  tiers_.backend.lookup_slots(tiers_.stream, tiers_.device.table(), tiers_.host.table(),
                              {.rows = wanted.rows,
                               .count = wanted.count,
                               .slots = wanted.slots,
                               .missing = missing_.data(),
                               .disk_rows = disk_rows_.data(),
                               .host_lease = wanted.lease,
                               .report = report_.data()});
  tiers_.stream.synchronize();
  free_device_ = report_[0].device.free;
  free_host_ = report_[0].host.free;
  all_on_disk_ = static_cast<std::int64_t>(report_[0].on_disk);
  return {static_cast<std::int64_t>(report_[0].in_host),
          static_cast<std::int64_t>(report_[0].untouched),
          static_cast<std::int64_t>(report_[0].on_disk)};
}

void LeasePlan::queue_report() {
  tiers_.backend.lookup_slots(tiers_.stream, tiers_.device.table(), tiers_.host.table(),
                              {.report = report_.data()});
}

const kernels::LookupReport& LeasePlan::report() {
  queue_report();
  tiers_.stream.synchronize();
  return report_[0];
}

Round LeasePlan::next_round(const LeaseWanted& wanted, const LeaseRows& left,
                            std::int64_t done) const {
  const bool read_only = wanted.lease == 0;
  std::int64_t count = std::min(left.missing(), round_length_);
  // Victims need a place in the host tier, all of it at the most: what the lease still wants there
  // is in the round, and leaves.
  if (!read_only && has_host()) {
    count = std::min(count, free_device_ + tiers_.host.slots() - wanted.held_host_slots);
  }
  Round round;
  round.first = done;
  round.rows.in_host = std::min(left.in_host, count);
  round.rows.untouched = std::min(left.untouched, count - round.rows.in_host);
  round.rows.on_disk = count - round.rows.in_host - round.rows.untouched;
  // Disk rows come last, so that those not left stand before these.
  round.disk_rows = {disk_rows_.data() + (all_on_disk_ - left.on_disk),
                     static_cast<std::size_t>(round.rows.on_disk)};
  if (!read_only) round.victims = std::max<std::int64_t>(0, count - free_device_);
  return round;
}

void LeasePlan::plan(const LeaseWanted& wanted, Round& round) {
  current_ = (current_ + 1) % lists_.size();
  tiers_.stream.wait(*lists().read_in);
  tiers_.stream.wait(*lists().read_out);
  round.exchange.lists = lists().exchange;
  round.exchange.arriving = round.rows.in_host;
  round.exchange.free_device = round.rows.missing();
  if (round.victims > 0) {
    if (has_host()) make_room(wanted, round);
    evict(wanted, round);
    round.exchange.free_device = free_device_;
  }
  round.exchange.free_host = free_host_;
  bind(wanted, round);
  if (round.victims > 0 && has_host()) demote(round);
  if (wanted.lease == 0) return;
  // Rows that have come must not become victims of those that still have to.
  tiers_.device.mark_leased(lists().exchange.arriving_to, round.rows.missing(), wanted.lease);
  free_device_ += round.victims - round.rows.missing();
  free_host_ += round.rows.in_host - (has_host() ? round.victims : 0);
}

std::int64_t LeasePlan::spare_slots() const {
  return std::min<std::int64_t>(tiers_.transfers.chunk_rows() * 2, tiers_.host.slots() / 8);
}

// Host slots for the victims beyond those that the round's own rows leave, and some more: the
// exchange goes in chunks as large as what is free before it.
void LeasePlan::make_room(const LeaseWanted& wanted, const Round& round) {
  const std::int64_t needed = round.victims - round.rows.in_host - free_host_;
  // An exchange starts from one free slot at the least.
  const std::int64_t free = free_host_ + free_device_;
  const std::int64_t wished =
      (tiers_.disk.has_file() ? std::min(spare_slots(), round.victims) : std::int64_t{1}) - free;
  const std::int64_t missing = std::max({needed, wished, std::int64_t{0}});
  if (missing == 0) return;
  free_host_ += write_back_.make_host_room(missing, wanted.lease);
  // Victims that were dropped took no slot after all.
  if (free_host_ + round.rows.in_host < round.victims) free_host_ = report().host.free;
  if (free_host_ + free_device_ == 0) {
    io::fail(
        "every slot of the device and host tiers holds a row, and a row can move only with one of "
        "them free; raise tiers.device_bytes or tiers.host_bytes");
  }
  CHECK(free_host_ + round.rows.in_host >= round.victims, "{} free host slots for {} victims",
        free_host_, round.victims);
}

void LeasePlan::evict(const LeaseWanted& wanted, const Round& round) {
  const VictimLists& victims = lists().victims;
  tiers_.device.select_victims(round.victims, tiers_.use_counter,
                               static_cast<std::uint32_t>(tiers_.step), wanted.first_live_lease,
                               victims);
  tiers_.counters.evicted_from_device += static_cast<std::uint64_t>(round.victims);
  if (!has_host()) {
    tiers_.transfers.follow(tiers_.stream);
    forgotten_ += static_cast<std::uint64_t>(write_back_.write_device_victims(victims));
  }
  tiers_.backend.release_slots(tiers_.stream, tiers_.device.table(), victims.slots, victims.count,
                               round.victims);
}

void LeasePlan::bind(const LeaseWanted& wanted, Round& round) {
  Lists& lists = this->lists();
  tiers_.backend.bind_missing(tiers_.stream, tiers_.device.table(), tiers_.host.table(),
                              {.rows = wanted.rows,
                               .slots = wanted.slots,
                               .missing = missing_.data() + round.first,
                               .count = round.rows.missing(),
                               .use_counter = tiers_.use_counter,
                               .frequency_decay = tiers_.device.frequency_decay(),
                               .from = lists.exchange.arriving_from,
                               .to = lists.exchange.arriving_to,
                               .bound_rows = lists.rows,
                               .copy_only = wanted.lease == 0});
  round.untouched_rows = lists.rows + round.rows.in_host;
  round.untouched_slots = lists.exchange.arriving_to + round.rows.in_host;
  if (round.rows.on_disk == 0) return;
  round.disk_slots = lists.disk_slots;
  tiers_.backend.copy(tiers_.stream, lists.disk_slots, round.untouched_slots + round.rows.untouched,
                      static_cast<std::size_t>(round.rows.on_disk) * sizeof(SlotId));
}

void LeasePlan::demote(Round& round) {
  Lists& lists = this->lists();
  round.exchange.leaving = round.victims;
  tiers_.backend.demote_victims(tiers_.stream, tiers_.device.table(), tiers_.host.table(),
                                {.slots = lists.victims.slots,
                                 .rows = lists.victims.rows,
                                 .state = lists.victims.state,
                                 .last_used = lists.victims.last_used,
                                 .frequency = lists.victims.frequency,
                                 .uses = lists.victims.uses,
                                 .count = lists.victims.count,
                                 .most = round.victims,
                                 .use_counter = tiers_.use_counter,
                                 .from = lists.exchange.leaving_from,
                                 .to = lists.exchange.leaving_to});
}

void LeasePlan::queued(const LeaseWanted& wanted) {
  tiers_.transfers.page_in().record(*lists().read_in);
  tiers_.transfers.write_back().record(*lists().read_out);
  if (wanted.lease == 0 || !has_host() || free_host_ > 0 || !tiers_.disk.has_file()) return;
  free_host_ = report().host.free;
  if (free_host_ > 0) return;
  free_host_ += write_back_.make_host_room(std::max<std::int64_t>(spare_slots(), 1), wanted.lease);
}

}  // namespace mneme::offload
