#include <algorithm>
#include <set>

#include "io/error.h"
#include "offload/tier_sizes.h"
#include "offload/trace/trace_file.h"
#include "tools/plan/page_traffic.h"
#include "tools/report/replays.h"

namespace mneme::plan {
namespace {

using offload::Cause;
using offload::Entry;
using offload::Field;
using offload::Pass;
using report::Replay;

double seconds_of(double bytes, double bytes_per_s, double records, double records_per_s) {
  const double by_bytes = bytes_per_s > 0 ? bytes / bytes_per_s : 0;
  const double by_records = records_per_s > 0 ? records / records_per_s : 0;
  return std::max(by_bytes, by_records);
}

void check_table(const TraceOptions& trace, const offload::TraceHeader& header,
                 const offload::TraceTiers& own, const offload::StoreOptions& store) {
  const auto refuse = [&](const char* what, std::uint64_t has, std::uint64_t wanted) {
    io::fail("{}: a trace of another table: {} of {}, and the configuration's of {}", trace.path,
             what, has, wanted);
  };
  if (header.rows != store.rows) refuse("its rows are", header.rows, store.rows);
  if (own.record_bytes != trace.record_bytes) {
    refuse("its records are of bytes", own.record_bytes, trace.record_bytes);
  }
}

offload::TraceTiers tiers_of(const offload::TraceTiers& own, const offload::StoreOptions& store) {
  const offload::TierSizes sizes = offload::tier_sizes(store);
  const offload::SlotBytes bytes = offload::slot_bytes(store);
  offload::TraceTiers tiers = own;
  tiers.device_slots = sizes.training;
  tiers.evaluation_slots = sizes.evaluation;
  tiers.host_slots = sizes.host;
  tiers.record_bytes = store.layout.record_bytes();
  tiers.device_slot_bytes = bytes.device;
  tiers.host_slot_bytes = bytes.host;
  tiers.device_policy = store.tiers.device_policy;
  tiers.host_policy = store.tiers.host_policy;
  tiers.disk_bytes = 0;
  tiers.disks = std::max<std::uint64_t>(1, own.disks);
  return tiers;
}

PageTraffic traffic_of(const Replay& replay) {
  const auto steps = static_cast<double>(replay.steps);
  const Entry all = replay.books.total();
  const Entry forward = replay.books.total(Cause::kTraining, Pass::kForward);
  const Entry update = replay.books.total(Cause::kTraining, Pass::kUpdate);
  const auto mean = [steps](std::uint64_t sum) { return static_cast<double>(sum) / steps; };
  return {
      .distinct_rows = mean(update[Field::kRowsLeased]),
      .leased_rows = mean(replay.books.total(Cause::kTraining)[Field::kRowsLeased]),
      .found_on_device = mean(forward[Field::kFoundOnDevice]),
      .found_in_host = mean(forward[Field::kFoundInHost]),
      .found_on_disk = mean(forward[Field::kFoundOnDisk]),
      .new_rows = mean(all[Field::kGeneratedRows]),
      .to_device_bytes = mean(all[Field::kHostToDeviceBytes] + all[Field::kDiskToDeviceBytes]),
      .from_device_bytes = mean(all[Field::kDeviceToHostBytes] + all[Field::kDeviceToDiskBytes]),
      .disk_read_bytes = mean(all.disk_bytes_read()),
      .disk_written_bytes = mean(all.disk_bytes_written()),
      .disk_reads = mean(all.disk_rows_read()),
      .disk_writes = mean(all.disk_rows_written()),
      .step_seconds = replay.run_seconds / steps};
}

// The clock has one link for reads and writes: of the speed at which these, in this mix, go.
offload::ReplaySpeeds speeds_of(const TrafficQuestion& question, const PageTraffic& moves) {
  const LinkSpeeds& links = question.links;
  const double bytes = moves.disk_read_bytes + moves.disk_written_bytes;
  const double seconds = links.read_seconds(moves.disk_read_bytes, moves.disk_reads) +
                         links.write_seconds(moves.disk_written_bytes, moves.disk_writes);
  offload::ReplaySpeeds speeds;
  speeds.host_link = links.host_link;
  speeds.disk_link = seconds > 0 ? bytes / seconds : 0;
  speeds.generate = links.generate;
  speeds.free_reads = links.free_reads;
  speeds.free_writes = links.free_writes;
  speeds.step_seconds = question.computation(moves);
  return speeds;
}

// Steps that a trace holds from their beginning to their end, the first and the last.
struct WholeSteps {
  std::uint64_t first = 0, last = 0;
  std::uint64_t count() const { return last == 0 ? 0 : last - first + 1; }
};

WholeSteps whole_steps(io::Disk& disk, const std::string& path) {
  offload::TraceReader reader(disk, path);
  offload::TraceEvent event;
  WholeSteps steps;
  for (std::uint64_t step = 0; reader.next(event);) {
    if (event.kind == offload::TraceKind::kStep) step = event.number;
    if (event.kind != offload::TraceKind::kEndStep || step == 0) continue;
    steps.last = step;
    if (steps.first == 0) steps.first = step;
  }
  return steps;
}

}  // namespace

double LinkSpeeds::read_seconds(double bytes, double records) const {
  return free_reads ? 0 : seconds_of(bytes, disk_read, records, disk_reads);
}

double LinkSpeeds::write_seconds(double bytes, double records) const {
  return free_writes ? 0 : seconds_of(bytes, disk_write, records, disk_writes);
}

std::vector<PageTraffic> replayed_traffic(io::Disk& disk, const TraceOptions& trace,
                                          std::span<const TrafficQuestion> questions) {
  const offload::TraceTiers own = report::first_tiers(disk, trace.path);
  const offload::TraceHeader header = offload::TraceReader(disk, trace.path).header();
  const WholeSteps steps = whole_steps(disk, trace.path);
  if (steps.count() < 3) {
    io::fail("{}: a trace of {} steps is too short for a plan", trace.path, steps.count());
  }
  std::vector<Replay> replays;
  for (const TrafficQuestion& question : questions) {
    check_table(trace, header, own, question.store);
    replays.push_back({.tiers = tiers_of(own, question.store),
                       .has_hints = false,
                       .first = steps.first + steps.count() / 10,
                       .until = steps.last});
  }
  const auto run = [&] {
    report::run_replays(disk, trace.path, replays, trace.threads, trace.check);
  };
  // What moves, without times; then how long that takes.
  std::vector<Replay> clocked = replays;
  run();
  for (const Replay& replay : replays) {
    const Entry all = replay.books.total();
    if (all.disk_rows_read() + all.disk_rows_written() == 0) continue;
    if (all.disk_bytes_read() + all.disk_bytes_written() > 0) continue;
    io::fail(
        "{}: the trace of an older version, which does not say how large rows are on disk; "
        "record it again",
        trace.path);
  }
  for (std::size_t i = 0; i < replays.size(); ++i) {
    clocked[i].speeds = speeds_of(questions[i], traffic_of(replays[i]));
  }
  replays = std::move(clocked);
  run();
  std::vector<PageTraffic> traffic;
  for (const Replay& replay : replays) traffic.push_back(traffic_of(replay));
  return traffic;
}

}  // namespace mneme::plan
