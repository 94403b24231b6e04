#include "offload/planner/planner.h"

#include <algorithm>
#include <utility>

#include "io/check.h"

namespace mneme::offload {

using kernels::Place;
using kernels::RowId;
using kernels::SlotId;

namespace {

// Rows that are located, or hinted, in one go.
constexpr std::int64_t kMostListed = 65536;
// Leases that callers have at a time; further ones allocate.
constexpr std::int64_t kUsualLeases = 2;

// The lengths of a planner's lists.
struct Lengths {
  std::int64_t lease = 0, round = 0, host_victims = 0, listed = 0;
  bool keeps_uses = false;
  RoundListsShape shape;
};

Lengths lengths_of(const PlannerOptions& options) {
  Lengths lengths;
  lengths.lease = std::max(options.device_slots, options.evaluation_slots);
  lengths.round = std::min(Planner::kRoundRows, lengths.lease);
  lengths.host_victims =
      std::min<std::int64_t>(options.host_slots, std::max(lengths.round, kMostListed));
  lengths.listed = kMostListed;
  lengths.keeps_uses = keeps_uses(options.device_policy, options.host_policy);
  lengths.shape = {lengths.round, options.host_slots > 0, lengths.keeps_uses};
  return lengths;
}

constexpr std::uint64_t kHandBytes = sizeof(std::uint32_t);

}  // namespace

PlannerMemory planner_memory(const PlannerOptions& options) {
  const Lengths lengths = lengths_of(options);
  const auto lease = static_cast<std::uint64_t>(lengths.lease);
  const auto tier = [&](std::uint32_t slots) {
    return slots == 0 ? 0 : TierSlots::bytes(slots, lengths.keeps_uses) + kHandBytes;
  };
  PlannerMemory memory;
  memory.device_bytes = options.rows * sizeof(kernels::Location) + tier(options.device_slots) +
                        tier(options.host_slots) +
                        options.evaluation_slots * sizeof(SlotId) +         // places
                        lease * (sizeof(SlotId) + sizeof(std::uint32_t)) +  // found, missing
                        kUsualLeases * options.device_slots * sizeof(SlotId) +
                        2 * RoundLists::device_bytes(lengths.shape);
  memory.pinned_bytes =
      sizeof(kernels::LookupReport) + 2 * lease * sizeof(RowId) +  // on disk, hinted
      2 * RoundLists::pinned_bytes(lengths.shape) +
      static_cast<std::uint64_t>(lengths.listed) * (sizeof(RowId) + sizeof(SlotId)) +
      sizeof(std::uint64_t);
  if (options.host_slots > 0) {
    memory.pinned_bytes += static_cast<std::uint64_t>(lengths.host_victims) *
                               (sizeof(SlotId) + sizeof(RowId) + sizeof(std::uint8_t)) +
                           sizeof(std::uint64_t);
  }
  return memory;
}

Planner::Planner(kernels::Backend& backend, const PlannerOptions& options)
    : backend_(backend),
      options_(options),
      stream_(backend.create_stream(kernels::StreamPriority::kHigh)),
      residency_(backend, options.rows),
      device_(backend, *stream_,
              {.place = Place::kDevice,
               .locations = residency_.locations(),
               .slots = options.device_slots,
               .policy = options.device_policy,
               .keeps_uses = lengths_of(options).keeps_uses,
               .seed = options.seed,
               .next_use = options.next_use}),
      host_(backend, *stream_,
            {.place = Place::kHost,
             .locations = residency_.locations(),
             .slots = options.host_slots,
             .policy = options.host_policy,
             .keeps_uses = lengths_of(options).keeps_uses,
             .seed = options.seed,
             .next_use = options.next_use}),
      free_device_(options.device_slots),
      free_host_(options.host_slots) {
  CHECK(options.device_slots > 0);
  const Lengths lengths = lengths_of(options);
  lease_rows_ = lengths.lease;
  round_rows_ = lengths.round;
  found_slots_ = {backend, lease_rows_};
  places_ = {backend, options.evaluation_slots};
  missing_ = {backend, lease_rows_};
  report_ = kernels::pinned_array<kernels::LookupReport>(backend, 1);
  disk_rows_ = kernels::pinned_array<RowId>(backend, lease_rows_);
  hinted_rows_ = kernels::pinned_array<RowId>(backend, lease_rows_);
  for (int i = 0; i < 2; ++i) lists_.emplace_back(backend, lengths.shape);
  if (has_host()) {
    victim_slots_ = kernels::pinned_array<SlotId>(backend, lengths.host_victims);
    victim_rows_ = kernels::pinned_array<RowId>(backend, lengths.host_victims);
    victim_state_ = kernels::pinned_array<std::uint8_t>(backend, lengths.host_victims);
    victim_count_ = kernels::pinned_array<std::uint64_t>(backend, 1);
  }
  list_rows_ = kernels::pinned_array<RowId>(backend, lengths.listed);
  list_slots_ = kernels::pinned_array<SlotId>(backend, lengths.listed);
  list_count_ = kernels::pinned_array<std::uint64_t>(backend, 1);
  for (int i = 0; i < kUsualLeases; ++i) slot_buffers_.emplace_back(backend, options.device_slots);
  number_places();
}

Planner::~Planner() {
  try {
    stream_->synchronize();
  } catch (const std::exception&) {
    // Nobody is left to tell.
  }
}

void Planner::number_places() {
  for (std::int64_t first = 0; first < options_.evaluation_slots; first += list_slots_.count()) {
    const std::int64_t count = std::min(list_slots_.count(), options_.evaluation_slots - first);
    for (std::int64_t i = 0; i < count; ++i) list_slots_[i] = static_cast<SlotId>(first + i);
    backend_.copy(*stream_, places_.data() + first, list_slots_.data(),
                  kernels::DeviceArray<SlotId>::bytes(count));
    stream_->synchronize();
  }
}

std::int64_t Planner::capacity(PlanMode mode) const {
  if (mode == PlanMode::kReadOnly) {
    return read_only_lease_is_live_ ? 0 : options_.evaluation_slots;
  }
  std::int64_t held = 0;
  for (const auto& lease : leases_) held += lease->count;
  return std::max<std::int64_t>(0, std::int64_t{options_.device_slots} - held);
}

std::uint32_t Planner::plan_number() const {
  return lease_ != nullptr ? lease_->number : use_counter_ + 1;
}

std::uint32_t Planner::first_live_lease() const {
  return leases_.empty() ? plan_number() : leases_.front()->number;
}

bool Planner::hints_wait() const {
  const kernels::SlotTableState& host = known_.host;
  return hinted_to_host_ > promoted_ + host.prefetch_used + host.prefetch_wasted;
}

void Planner::look_up(const RowsWanted& wanted, PlanMode mode) {
  CHECK(stage_ == Stage::kNone || stage_ == Stage::kQueued || stage_ == Stage::kFound,
        "a look-up while a lease is being planned");
  CHECK(wanted.count >= 0 && wanted.count <= capacity(mode), "look-up of {} rows, capacity {}",
        wanted.count, capacity(mode));
  wanted_ = wanted;
  mode_ = mode;
  lease_ = nullptr;
  ++look_ups_;
  plan_slots_ = found_slots_.data();
  if (mode == PlanMode::kTrain) {
    if (next_slots_.count() == 0) {
      if (slot_buffers_.empty()) slot_buffers_.emplace_back(backend_, options_.device_slots);
      next_slots_ = std::move(slot_buffers_.back());
      slot_buffers_.pop_back();
    }
    plan_slots_ = next_slots_.data();
  }
  backend_.lookup_slots(*stream_, device_.table(), host_.table(),
                        {.rows = wanted.rows,
                         .count = wanted.count,
                         .count_at = wanted.count_at,
                         .slots = plan_slots_,
                         .missing = missing_.data(),
                         .disk_rows = disk_rows_.data(),
                         .hinted_rows = hints_wait() ? hinted_rows_.data() : nullptr,
                         .host_lease = is_read_only() ? 0 : look_ups_,
                         .use_hints = mode == PlanMode::kTrain,
                         .report = report_.data()});
  stage_ = Stage::kQueued;
}

const Found& Planner::found() {
  if (stage_ == Stage::kFound || stage_ == Stage::kRounds) return found_;
  CHECK(stage_ == Stage::kQueued, "no look-up is queued");
  stream_->synchronize();
  const kernels::LookupReport& report = known_ = report_[0];
  free_device_ = report.device.free;
  free_host_ = report.host.free;
  found_ = {};
  found_.count = static_cast<std::int64_t>(report.count);
  stage_ = Stage::kFound;
  if (found_.count > wanted_.count) return found_;
  found_.in_host = static_cast<std::int64_t>(report.in_host);
  found_.untouched = static_cast<std::int64_t>(report.untouched);
  found_.on_disk = static_cast<std::int64_t>(report.on_disk);
  found_.on_device = found_.count - found_.missing();
  found_.hinted = {hinted_rows_.data(), static_cast<std::size_t>(report.hinted)};
  return found_;
}

PlannedLease& Planner::begin_lease() {
  CHECK(stage_ == Stage::kFound && found_.count <= wanted_.count);
  stage_ = Stage::kRounds;
  left_ = {.in_host = found_.in_host, .untouched = found_.untouched, .on_disk = found_.on_disk};
  if (is_read_only()) {
    CHECK(!read_only_lease_is_live_);
    read_only_lease_is_live_ = true;
    read_only_lease_.mode = mode_;
    read_only_lease_.count = found_.count;
    lease_ = &read_only_lease_;
    return read_only_lease_;
  }
  CHECK(mode_ == PlanMode::kTrain);
  leases_.push_back(std::make_unique<PlannedLease>());
  lease_ = leases_.back().get();
  lease_->number = ++use_counter_;
  lease_->count = found_.count;
  lease_->slots = std::exchange(next_slots_, {});
  placed_ += static_cast<std::uint64_t>(found_.untouched);
  // Rounds look for victims: resident rows of this lease must not be among them. Rows that come are
  // marked when they are bound.
  device_.mark_used(plan_slots_, found_.count, now());
  return *lease_;
}

void Planner::finish_lease() {
  CHECK(stage_ == Stage::kRounds && left_.rows() == 0);
  stage_ = Stage::kNone;
}

void Planner::end_lease(PlannedLease& lease) {
  // A lease whose plan failed may end, too.
  if (lease_ == &lease) {
    stage_ = Stage::kNone;
    lease_ = nullptr;
  }
  if (lease.mode == PlanMode::kReadOnly) {
    read_only_lease_is_live_ = false;
    return;
  }
  const auto found = std::find_if(leases_.begin(), leases_.end(),
                                  [&](const auto& live) { return live.get() == &lease; });
  CHECK(found != leases_.end());
  const std::unique_ptr<PlannedLease> ended = std::move(*found);
  leases_.erase(found);
  if (!leases_.empty()) {
    // Slots of this lease may become victims again, unless another live lease has them, too.
    device_.mark_leased(ended->slots.data(), ended->count, 0);
    for (const auto& other : leases_) {
      device_.mark_leased(other->slots.data(), other->count, other->number);
    }
  }
  slot_buffers_.push_back(std::move(ended->slots));
}

void Planner::mark_dirty(const PlannedLease& lease) {
  CHECK(lease.mode == PlanMode::kTrain);
  device_.mark_dirty(lease.slots.data(), lease.count);
}

const SlotId* Planner::slots(const PlannedLease& lease) const {
  return lease.mode == PlanMode::kReadOnly ? places_.data() : lease.slots.data();
}

Planner::DirtyRows Planner::dirty(Place place) {
  const SlotTier& tier = place == Place::kDevice ? device_ : host_;
  DirtyLists& lists = dirty_[place == Place::kDevice ? 0 : 1];
  if (tier.slots() == 0) return {};
  if (lists.count.count() == 0) {
    lists = {kernels::pinned_array<SlotId>(backend_, tier.slots()),
             kernels::pinned_array<RowId>(backend_, tier.slots()),
             kernels::pinned_array<std::uint64_t>(backend_, 1)};
  }
  backend_.list_dirty(*stream_, tier.table(), lists.slots.data(), lists.rows.data(),
                      lists.count.data());
  stream_->synchronize();
  const auto count = static_cast<std::size_t>(lists.count[0]);
  return {{lists.slots.data(), count}, {lists.rows.data(), count}};
}

std::vector<RowId> Planner::begin_save() {
  std::vector<RowId> rows;
  for (const SlotTier* tier : {&device_, &host_}) {
    if (tier->slots() == 0) continue;
    backend_.mark_unsaved(*stream_, tier->table());
    const DirtyRows listed = dirty(tier == &device_ ? Place::kDevice : Place::kHost);
    rows.insert(rows.end(), listed.rows.begin(), listed.rows.end());
  }
  return rows;
}

Planner::Unsaved Planner::take_unsaved(const RowId* rows, std::int64_t count,
                                       kernels::MemoryKind where) {
  CHECK(count <= most_taken());
  if (where != kernels::MemoryKind::kDevice) {
    stream_->synchronize();  // a hint's plan may still read the list
    std::copy_n(rows, count, list_rows_.data());
    rows = list_rows_.data();
  }
  backend_.take_unsaved(
      *stream_, device_.table(), host_.table(),
      {.rows = rows, .count = count, .taken = list_slots_.data(), .taken_rows = list_rows_.data()});
  stream_->synchronize();
  Unsaved taken;
  for (std::int64_t i = 0; i < count; ++i) {
    const kernels::Location location = list_slots_[i];
    const Place place = kernels::place_of(location);
    if (place == Place::kDevice) {
      taken.device_rows.push_back(list_rows_[i]);
      taken.device_slots.push_back(kernels::slot_of(location));
    } else if (place == Place::kHost) {
      taken.host_rows.push_back(list_rows_[i]);
      taken.host_slots.push_back(kernels::slot_of(location));
    }
  }
  return taken;
}

void Planner::place_on_disk(std::span<const RowId> rows) {
  for (std::size_t first = 0; first < rows.size(); first += std::size_t(list_rows_.count())) {
    const std::size_t count = std::min(rows.size() - first, std::size_t(list_rows_.count()));
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(first), count, list_rows_.data());
    backend_.place_on_disk(*stream_, residency_.locations(), list_rows_.data(),
                           static_cast<std::int64_t>(count));
    stream_->synchronize();
  }
  placed_ += rows.size();
}

void Planner::queue_report() {
  backend_.lookup_slots(*stream_, device_.table(), host_.table(), {.report = report_.data()});
}

const kernels::LookupReport& Planner::settle() {
  queue_report();
  stream_->synchronize();
  return known_ = report_[0];
}

}  // namespace mneme::offload
