#include "offload/tiered_store.h"

#include <algorithm>
#include <utility>

#include "offload/store_implementation.h"

namespace mneme::offload {

using kernels::RowId;
using kernels::SlotId;

Lease::Lease(std::unique_ptr<State> state) : state_(std::move(state)) {}
Lease::Lease() = default;
Lease::Lease(Lease&& other) noexcept = default;

Lease& Lease::operator=(Lease&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Lease::~Lease() {
  if (state_) state_->store->end(*state_);
}

const kernels::RowArena& Lease::arena() const {
  return *state_->arena;
}
const SlotId* Lease::slots() const {
  return state_->store->lease_slots(*state_);
}
std::int64_t Lease::count() const {
  return state_ ? state_->count : 0;
}
void Lease::mark_dirty() {
  state_->store->mark_dirty(*state_);
}

TieredStore::TieredStore(kernels::Backend& backend, io::Disk& disk, const StoreOptions& options)
    : implementation_(std::make_unique<Implementation>(backend, disk, options)) {}
TieredStore::~TieredStore() = default;

const StoreOptions& TieredStore::options() const {
  return implementation_->options();
}

std::uint64_t TieredStore::minimum_device_bytes(const kernels::RecordLayout& layout) {
  return 2 * DeviceTier::kMinimumSlots * DeviceTier::slot_bytes(layout);
}

std::uint64_t TieredStore::device_bytes_for(const StoreOptions& options, std::uint64_t rows) {
  const TierOptions& tiers = options.tiers;
  const bool keeps_uses = use_counts(tiers.device_policy, tiers.host_policy).keeps_uses;
  const double training = static_cast<double>(rows) / (1 - std::min(tiers.evaluation_share, 0.99));
  return (static_cast<std::uint64_t>(training) + 1 + DeviceTier::kMinimumSlots) *
         DeviceTier::slot_bytes(options.layout, keeps_uses);
}

std::uint64_t TieredStore::device_arena_bytes(const StoreOptions& options) {
  return DeviceTier::arena_bytes(device_tier_options(options));
}

std::uint64_t TieredStore::host_arena_bytes(const StoreOptions& options) {
  return HostTier::arena_bytes(host_tier_options(options));
}

std::int64_t TieredStore::lease_capacity(LeaseMode mode) const {
  return implementation_->capacity(mode);
}

void TieredStore::begin_step(std::uint64_t step) {
  implementation_->begin_step(step);
}

Lease TieredStore::acquire(kernels::Stream& compute, const RowId* rows, std::int64_t count,
                           LeaseMode mode, const Currency& currency, kernels::Event* rows_ready) {
  return Lease(implementation_->acquire(compute, rows, count, mode, currency, rows_ready));
}

void TieredStore::require_disk_room(const RowId* rows, std::int64_t count) {
  implementation_->require_disk_room(rows, count);
}

void TieredStore::prefetch(std::span<const RowId> rows, std::uint64_t byte_budget) {
  implementation_->prefetch(rows, byte_budget);
}

void TieredStore::write_records(std::span<const RowId> rows,
                                std::span<const std::byte* const> records) {
  implementation_->write_records(rows, records);
}

void TieredStore::read_records(RowId first, std::int64_t count, std::byte* out) {
  implementation_->read_records(first, count, out);
}

std::vector<RowId> TieredStore::touched_rows() const {
  return implementation_->touched_rows();
}

TableDelta TieredStore::flush() {
  return implementation_->flush();
}

void TieredStore::commit_checkpoint(std::uint64_t epoch) {
  implementation_->commit(epoch);
}

void TieredStore::release_checkpoint(std::uint64_t epoch) {
  implementation_->tiers().disk.slots().release(epoch);
}

void TieredStore::restore(std::span<const CheckpointTable> kept, std::size_t current) {
  implementation_->restore(kept, current);
}

const StepCounters& TieredStore::step_counters() const {
  return implementation_->counters();
}

void TieredStore::queue_counters(kernels::Stream& compute) {
  implementation_->queue_counters(compute);
}

const StepCounters& TieredStore::total_counters() const {
  return implementation_->total();
}
TierUse TieredStore::tier_use() const {
  return implementation_->tier_use();
}

}  // namespace mneme::offload
