// The rounds of a plan: victims, slots for the missing rows, and the lists of what moves.
#include <algorithm>

#include "io/check.h"
#include "io/error.h"
#include "offload/planner/planner.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

bool Planner::next_round(Round& round) {
  CHECK(stage_ == Stage::kRounds);
  round = {};
  if (left_.rows() == 0) return false;
  std::int64_t count = std::min(left_.rows(), round_rows_);
  // Victims need a place in the host tier, all of it at the most: what the lease still wants there
  // is in the round, and leaves.
  if (!is_read_only() && has_host()) count = std::min(count, free_device_ + host_.slots());
  round.first = left_.first;
  round.in_host = std::min(left_.in_host, count);
  round.untouched = std::min(left_.untouched, count - round.in_host);
  round.on_disk = count - round.in_host - round.untouched;
  // Disk rows come last, so that those not left stand before these.
  round.disk_rows = {disk_rows_.data() + (found_.on_disk - left_.on_disk),
                     static_cast<std::size_t>(round.on_disk)};
  if (!is_read_only()) round.victims = std::max<std::int64_t>(0, count - free_device_);
  left_.first += count;
  left_.in_host -= round.in_host;
  left_.untouched -= round.untouched;
  left_.on_disk -= round.on_disk;
  return true;
}

std::span<const RowId> Planner::disk_rows_after(const Round& round) const {
  return {round.disk_rows.data() + round.disk_rows.size(), disk_rows_.data() + found_.on_disk};
}

void Planner::plan(Round& round) {
  current_list_ = (current_list_ + 1) % lists_.size();
  stream_->wait(*lists().read_in);
  stream_->wait(*lists().read_out);
  round.exchange.lists = lists().exchange;
  round.exchange.arriving = round.in_host;
  round.exchange.free_device = round.rows();
  if (round.victims > 0) {
    if (has_host()) make_room(round);
    evict(round);
    round.exchange.free_device = free_device_;
  }
  round.exchange.free_host = free_host_;
  bind(round);
  if (round.victims > 0 && has_host()) demote(round);
  if (is_read_only()) return;
  free_device_ += round.victims - round.rows();
  free_host_ += round.in_host - (has_host() ? round.victims : 0);
}

std::int64_t Planner::spare_slots() const {
  return std::min<std::int64_t>(options_.transfer_rows * 2, host_.slots() / 8);
}

Victims Planner::take_host_victims(std::int64_t wanted) {
  const VictimLists lists{.slots = victim_slots_.data(),
                          .rows = victim_rows_.data(),
                          .state = victim_state_.data(),
                          .count = victim_count_.data()};
  wanted = std::min(wanted, victim_slots_.count());
  host_.select_victims(wanted, {plan_number(), kept_step(), next_use_now_}, look_ups_, lists);
  stream_->synchronize();
  const std::uint64_t count = victim_count_[0];
  host_.release(victim_slots_.data(), victim_count_.data(), static_cast<std::int64_t>(count));
  return {
      {victim_slots_.data(), count}, {victim_rows_.data(), count}, {victim_state_.data(), count}};
}

// Host slots for the victims beyond those that the round's own rows leave, and some more: the
// exchange goes in transfers as large as what is free before it.
void Planner::make_room(Round& round) {
  const std::int64_t needed = round.victims - round.in_host - free_host_;
  // An exchange starts from one free slot at the least.
  const std::int64_t free = free_host_ + free_device_;
  const std::int64_t wished =
      (options_.has_disk ? std::min(spare_slots(), round.victims) : std::int64_t{1}) - free;
  const std::int64_t missing = std::max({needed, wished, std::int64_t{0}});
  if (missing == 0) return;
  round.host_victims = take_host_victims(missing);
  free_host_ += static_cast<std::int64_t>(round.host_victims.slots.size());
  // Victims that were dropped took no slot after all.
  if (free_host_ + round.in_host < round.victims) free_host_ = settle().host.free;
  if (free_host_ + free_device_ == 0) {
    io::fail(
        "every slot of the device and host tiers holds a row, and a row can move only with one of "
        "them free; raise tiers.device_bytes or tiers.host_bytes");
  }
  CHECK(free_host_ + round.in_host >= round.victims, "{} free host slots for {} victims",
        free_host_, round.victims);
}

void Planner::evict(Round& round) {
  const VictimLists& victims = lists().victims;
  device_.select_victims(round.victims, now(), first_live_lease(), victims);
  if (!has_host()) {
    stream_->synchronize();
    const std::uint64_t count = *victims.count;
    round.device_victims = {{victims.slots, count}, {victims.rows, count}, {victims.state, count}};
    forgotten_ += static_cast<std::uint64_t>(std::count_if(
        victims.state, victims.state + count,
        [](std::uint8_t state) { return (state & (kernels::kDirty | kernels::kOnDisk)) == 0; }));
  }
  device_.release(victims.slots, victims.count, round.victims);
}

void Planner::bind(Round& round) {
  RoundLists& list = lists();
  const bool hint = mode_ == PlanMode::kHintToDevice;
  backend_.bind_missing(*stream_, device_.table(), host_.table(),
                        {.rows = wanted_.rows,
                         .slots = plan_slots_,
                         .missing = missing_.data() + round.first,
                         .count = round.rows(),
                         .use_counter = use_counter_,
                         .from = list.exchange.arriving_from,
                         .to = list.exchange.arriving_to,
                         .bound_rows = list.rows,
                         .copy_only = is_read_only(),
                         .hint = hint,
                         .step_used = hint ? hint_step_ : step_});
  round.untouched_rows = list.rows + round.in_host;
  round.untouched_slots = list.exchange.arriving_to + round.in_host;
  if (round.on_disk == 0) return;
  round.disk_slots = list.disk_slots;
  backend_.copy(*stream_, list.disk_slots, round.untouched_slots + round.untouched,
                kernels::DeviceArray<SlotId>::bytes(round.on_disk));
}

void Planner::demote(Round& round) {
  RoundLists& list = lists();
  round.exchange.leaving = round.victims;
  round.exchange.leaves = list.leaves;
  backend_.demote_victims(*stream_, device_.table(), host_.table(),
                          {.slots = list.victims.slots,
                           .rows = list.victims.rows,
                           .state = list.victims.state,
                           .last_used = list.victims.last_used,
                           .step_used = list.victims.step_used,
                           .frequency = list.victims.frequency,
                           .uses = list.victims.uses,
                           .count = list.victims.count,
                           .most = round.victims,
                           .use_counter = use_counter_,
                           .from = list.exchange.leaving_from,
                           .to = list.exchange.leaving_to,
                           .moved = list.leaves});
}

Victims Planner::end_round(kernels::Stream* page_in, kernels::Stream* write_back) {
  if (page_in != nullptr) page_in->record(*lists().read_in);
  if (write_back != nullptr) write_back->record(*lists().read_out);
  if (is_read_only() || !has_host() || free_host_ > 0 || !options_.has_disk) return {};
  free_host_ = settle().host.free;
  if (free_host_ > 0) return {};
  const Victims victims = take_host_victims(std::max<std::int64_t>(spare_slots(), 1));
  free_host_ += static_cast<std::int64_t>(victims.slots.size());
  return victims;
}

}  // namespace mneme::offload
