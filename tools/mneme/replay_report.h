// What came of replays, as text.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/prefetch/history_replay.h"
#include "offload/ledger/books.h"
#include "offload/replay/replay_store.h"
#include "offload/trace/trace_events.h"

namespace mneme::tools {

// One way to replay the trace, and what came of it.
struct Replay {
  bool is_own = false;  // with the tiers that the run had, which may differ from process to process
  bool knows_future = false;  // Belady's replacement
  offload::TraceTiers tiers;
  offload::Books books = {};
  std::uint64_t until = std::numeric_limits<std::uint64_t>::max();  // the last step
  // What predicts rows; none: the hints are those of the trace.
  std::optional<engine::HistoryReplayOptions> history = {};
  bool has_hints = true;  // of the trace or of the history
  std::uint64_t references = 0, steps = 0;
  double seconds = 0;
  std::optional<offload::ReplaySpeeds> speeds = {};
  // With speeds: of the run that would have been.
  double run_seconds = 0, computed_seconds = 0;
};

// A table for people, with times where speeds are known; a line of all counts for each replay; all
// that is known, by account. path: of the trace.
std::string replay_table(const std::string& path, const std::vector<Replay>& replays);
std::string replay_csv(const std::vector<Replay>& replays);
nlohmann::ordered_json replay_json(const std::string& path, const std::vector<Replay>& replays);

}  // namespace mneme::tools
