// What the store is asked for, as events of its trace.
#include <cmath>

#include "offload/tiered_store.h"
#include "offload/trace_tiers.h"

namespace mneme::offload {

TraceTiers trace_tiers(const StoreOptions& options) {
  const TierOptions& tiers = options.tiers;
  const TierSizes sizes = tier_sizes(options);
  const SlotBytes bytes = slot_bytes(options);
  return {.device_slots = sizes.training,
          .evaluation_slots = sizes.evaluation,
          .host_slots = sizes.host,
          .record_bytes = options.layout.record_bytes(),
          .device_slot_bytes = bytes.device,
          .host_slot_bytes = bytes.host,
          .evaluation_millionths =
              static_cast<std::uint64_t>(std::llround(1e6 * tiers.evaluation_share)),
          .disks = options.paths.size(),
          .disk_bytes = tiers.disk_bytes,
          .transfer_rows = static_cast<std::uint64_t>(Mover::transfer_rows(options.layout)),
          .host_link = static_cast<std::uint64_t>(tiers.host_link_bytes_per_second),
          .disk_link = static_cast<std::uint64_t>(tiers.disk_link_bytes_per_second),
          .device_policy = tiers.device_policy,
          .host_policy = tiers.host_policy};
}

void TieredStore::start_trace(io::Disk& disk, const std::vector<std::string>& paths,
                              std::uint64_t epoch) {
  guarded([&] {
    CHECK(leases_ == 0, "a trace begins while rows are leased");
    const TraceHeader header{.table = options_.table,
                             .rows = options_.rows,
                             .run_id = options_.run_id,
                             .seed = options_.seed};
    std::optional<std::uint64_t> keep;
    std::string path = paths.back();
    for (std::size_t i = 0; epoch > 0 && !keep && i < paths.size(); ++i) {
      keep = trace_bytes_until(disk, paths[i], header, epoch);
      if (keep) path = paths[i];
    }
    trace_.emplace(backend_, disk, path, header, keep.value_or(0));
    traced_leases_ = 0;
    TraceEvent start{.kind = TraceKind::kStart, .number = epoch};
    start.continues = keep.has_value();
    start.tiers = trace_tiers(options_);
    if (!keep) start.list = planner_.touched_rows();
    trace_->add(std::move(start));
    // Replays with smaller tiers go to the disk, also where the run does not.
    disk_.make_files();
    traced_slot_bytes_ = 0;
    trace_slot_bytes();
    snapshot_.on_take([this](std::int64_t most) {
      trace_number(TraceKind::kSave, static_cast<std::uint64_t>(most));
    });
  });
}

void TieredStore::trace_step(std::uint64_t step) {
  trace_slot_bytes();
  trace_number(TraceKind::kStep, step);
}

// Known once the rows files are made.
void TieredStore::trace_slot_bytes() {
  const std::uint64_t bytes = disk_.slot_bytes();
  if (!trace_ || bytes == traced_slot_bytes_) return;
  traced_slot_bytes_ = bytes;
  trace_number(TraceKind::kDiskSlot, bytes);
}

void TieredStore::trace_number(TraceKind kind, std::uint64_t number) {
  if (trace_) trace_->add({.kind = kind, .number = number});
}

// The plan's stream has looked the rows up: they are in place.
void TieredStore::trace_lease(const LeaseRequest& request) {
  if (traces_parts_) return trace_number(TraceKind::kPart, traced_leases_);
  add_lease(request, 0);
}

void TieredStore::add_lease(const LeaseRequest& request, std::int64_t part_rows) {
  if (!trace_) return;
  trace_->add({.kind = TraceKind::kLease,
               .number = ++traced_leases_,
               .account = request.account,
               .read_only = request.mode == LeaseMode::kReadOnly,
               .moves_records = moves_records_,
               .ascending = request.ascending,
               .changes_rows = request.changes_rows,
               .part_rows = static_cast<std::uint64_t>(part_rows)},
              planner_.stream(), request.rows, request.count);
}

void TieredStore::begin_parts(const LeaseRequest& all, std::int64_t part_rows) {
  CHECK(!traces_parts_, "parts of one pass while those of another are taken");
  guarded([&] { add_lease(all, part_rows); });
  traces_parts_ = true;
}

// Also where an error unwinds the pass.
void TieredStore::end_parts() noexcept {
  traces_parts_ = false;
  try {
    trace_number(TraceKind::kEndLease, traced_leases_);
  } catch (const std::exception& error) {
    if (failure_.empty()) failure_ = error.what();
  }
}

void TieredStore::trace_lease_event(TraceKind kind, const PlannedLease& planned) {
  if (!trace_) return;
  const auto found = lease_numbers_.find(&planned);
  if (found == lease_numbers_.end()) return;
  const TracedLease lease = found->second;
  if (kind == TraceKind::kEndLease) lease_numbers_.erase(found);
  // Of a lease in parts, all of which are over then.
  if (kind == TraceKind::kEndLease && lease.is_part) return;
  trace_->add({.kind = kind, .number = lease.number});
}

void TieredStore::trace_hint(const Hint& hint) {
  if (!trace_) return;
  trace_->add({.kind = TraceKind::kHint,
               .number = hint.byte_budget,
               .account = {Cause::kPrefetch, hint.layer},
               .to_device = hint.tier == kernels::Place::kDevice,
               .of_running_step = hint.step == HintStep::kRunning,
               .list = {hint.rows.begin(), hint.rows.end()}});
}

}  // namespace mneme::offload
