#include "offload/trace/trace_summary.h"

namespace mneme::offload {
namespace {

void count(TraceSummary::Count& count, std::size_t rows) {
  ++count.events;
  count.rows += rows;
}

TraceSummary::Count sum(const std::map<Account, TraceSummary::Count>& counts) {
  TraceSummary::Count all;
  for (const auto& [account, one] : counts) {
    all.events += one.events;
    all.rows += one.rows;
  }
  return all;
}

}  // namespace

TraceSummary::Count TraceSummary::all_leases() const {
  return sum(leases);
}
TraceSummary::Count TraceSummary::all_hints() const {
  return sum(hints);
}

double TraceSummary::bytes_per_row() const {
  const std::uint64_t rows = all_leases().rows + all_hints().rows;
  return rows == 0 ? 0 : static_cast<double>(file_bytes) / static_cast<double>(rows);
}

TraceSummary summarise(TraceReader& reader, const std::function<void()>& between) {
  TraceSummary summary;
  summary.header = reader.header();
  TraceEvent event;
  Account account;  // of the last lease, whose parts come next
  while (reader.next(event)) {
    if (between) between();
    switch (event.kind) {
      case TraceKind::kStart:
        summary.processes.push_back({event.number, event.continues, event.tiers});
        break;
      case TraceKind::kStep:
        if (summary.steps++ == 0) summary.first_step = event.number;
        summary.last_step = event.number;
        break;
      case TraceKind::kLease:
        account = event.account;
        summary.leases[account].rows += event.list.size();
        if (event.part_rows == 0) ++summary.leases[account].events;
        break;
      case TraceKind::kPart:
        ++summary.leases[account].events;
        break;
      case TraceKind::kHint:
        count(summary.hints[event.account], event.list.size());
        break;
      case TraceKind::kCheckpoint:
        ++summary.checkpoints;
        break;
      case TraceKind::kTokens:
        ++summary.micro_batches;
        summary.tokens += event.list.size();
        break;
      case TraceKind::kMarkDirty:
      case TraceKind::kEndLease:
      case TraceKind::kCommit:
      case TraceKind::kRelease:
      case TraceKind::kSave:
      case TraceKind::kDiskSlot:
      case TraceKind::kEndStep:
      case TraceKind::kPredictors:
      case TraceKind::kLookups:
        break;
    }
  }
  summary.frames = reader.frames();
  summary.file_bytes = reader.file_bytes();
  summary.event_bytes = reader.event_bytes();
  summary.is_cut = reader.is_cut();
  return summary;
}

void for_each_reference(TraceReader& reader, const ReferencesWanted& wanted,
                        const std::function<void(const TraceReference&)>& visit,
                        const std::function<void()>& between) {
  TraceEvent event;
  TraceReference reference;
  while (reader.next(event)) {
    if (between) between();
    if (event.kind == TraceKind::kStep) reference.step = event.number;
    if (event.kind != TraceKind::kLease) continue;
    ++reference.lease;
    if (!wanted.all && event.account.cause != Cause::kTraining) continue;
    if (wanted.forward_only && event.account.pass != Pass::kForward) continue;
    reference.account = event.account;
    reference.read_only = event.read_only;
    for (const kernels::RowId row : event.list) {
      reference.row = row;
      visit(reference);
    }
  }
}

}  // namespace mneme::offload
