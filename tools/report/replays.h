// Replays of a run's trace with other tiers, policies, hints and speeds, several at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>

#include "engine/prefetch/history_replay.h"
#include "io/disk.h"
#include "offload/ledger/books.h"
#include "offload/replay/replay_store.h"
#include "offload/trace/trace_events.h"

namespace mneme::report {

// One way to replay a trace, and what came of it.
struct Replay {
  bool is_own = false;  // with the tiers that the run had, which may differ from process to process
  bool knows_future = false;  // Belady's replacement
  offload::TraceTiers tiers;
  // What predicts rows; none: the hints are those of the trace.
  std::optional<engine::HistoryReplayOptions> history = {};
  bool has_hints = true;  // of the trace or of the history
  std::optional<offload::ReplaySpeeds> speeds = {};
  // Steps that count: those before `first` only fill the tiers.
  std::uint64_t first = 0, until = std::numeric_limits<std::uint64_t>::max();

  // ---- Of these steps.
  offload::Books books = {};
  std::uint64_t references = 0, steps = 0;
  double seconds = 0;          // that the replay took
  double plan_seconds = 0;     // of these, in the planner
  double predict_seconds = 0;  // and in the history, beside the planner
  // With speeds: of the run that would have been.
  double run_seconds = 0, computed_seconds = 0;
};

// The tiers that the first process of a trace had. Throws Error where the trace is empty.
offload::TraceTiers first_tiers(io::Disk& disk, const std::string& path);

// What is to be other than it was.
struct TierChange {
  std::optional<std::uint64_t> device_bytes = {}, host_bytes = {};  // budgets, as in [tiers]
  std::optional<kernels::ReplacementKind> policy = {};              // of both tiers
};
// Of a table of `rows` rows. Throws Error where a budget is below the minimum.
offload::TraceTiers tiers_with(const offload::TraceTiers& own, std::uint64_t rows,
                               const TierChange& change);
// The budgets that give these tiers.
std::uint64_t device_budget(const offload::TraceTiers& tiers);
std::uint64_t host_budget(const offload::TraceTiers& tiers);

// Runs them, as many at a time as there are threads. path: of the trace. check: asked now and then
// by the calling thread; what it throws ends the call.
void run_replays(io::Disk& disk, const std::string& path, std::span<Replay> replays,
                 std::size_t threads, const std::function<void()>& check);

}  // namespace mneme::report
