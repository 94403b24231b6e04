// mneme replay: what the run of a trace would have moved with other tiers and policies.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <iostream>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/config_reader.h"
#include "io/disk.h"
#include "io/elapsed.h"
#include "io/enum_names.h"
#include "io/error.h"
#include "io/progress.h"
#include "io/utf8.h"
#include "offload/replay/replay_store.h"
#include "offload/tier_sizes.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/replay_report.h"
#include "tools/mneme/trace_path.h"
#include "tools/report/replays.h"

namespace mneme::tools {
namespace {

using report::Replay;

// "25%" of the table's records, or bytes.
std::uint64_t budget_of(const std::string& text, std::uint64_t rows, std::uint64_t record_bytes) {
  double percent = 0;
  if (engine::parse_percent(text, 100, percent)) {
    return static_cast<std::uint64_t>(static_cast<double>(rows) * percent / 100 + 0.5) *
           record_bytes;
  }
  std::uint64_t bytes = 0;
  engine::parse_bytes(text, bytes);
  return bytes;
}

// Of an empty text nothing is changed.
Replay replay_with(const offload::TraceTiers& own, std::uint64_t rows, const std::string& device,
                   const std::string& host, const std::string& policy) {
  report::TierChange change;
  if (!policy.empty() && policy != kBelady) {
    change.policy = *io::value_named<kernels::ReplacementKind>(policy);
  }
  if (!device.empty()) change.device_bytes = budget_of(device, rows, own.record_bytes);
  if (!host.empty()) change.host_bytes = budget_of(host, rows, own.record_bytes);
  return {.knows_future = policy == kBelady, .tiers = report::tiers_with(own, rows, change)};
}

// With what is to predict rows.
void set_prefetch(const ReplayOptions& options, const std::string& prefetch, Replay& replay) {
  if (prefetch.empty()) return;
  const auto kind = *io::value_named<memory::PredictorKind>(prefetch);
  replay.has_hints = memory::is_history(kind);
  if (!replay.has_hints) return;
  replay.history = {.kind = kind,
                    .confidence = options.hints.prefetch_confidence,
                    .host_bytes = options.hints.prefetch_bytes,
                    .device_bytes = options.hints.prefetch_device_bytes,
                    .history_bytes = options.hints.prefetch_history_bytes};
}

// All combinations of what is given; what is not is as in the run's first process.
std::vector<Replay> replays_of(const ReplayOptions& options, const offload::TraceHeader& header,
                               const offload::TraceTiers& own) {
  std::vector<Replay> replays;
  const bool is_own =
      options.device_bytes.empty() && options.host_bytes.empty() && options.policies.empty();
  const auto or_own = [](const std::vector<std::string>& given) {
    return given.empty() ? std::vector<std::string>{""} : given;
  };
  for (const std::string& device : or_own(options.device_bytes)) {
    for (const std::string& host : or_own(options.host_bytes)) {
      for (const std::string& policy : or_own(options.policies)) {
        for (const std::string& prefetch : or_own(options.prefetch)) {
          replays.push_back(is_own ? Replay{.is_own = true, .tiers = own}
                                   : replay_with(own, header.rows, device, host, policy));
          set_prefetch(options, prefetch, replays.back());
        }
      }
    }
  }
  return replays;
}

// Nothing where neither the options nor the run say how fast anything is.
std::optional<offload::ReplaySpeeds> speeds_of(const ReplayOptions& options,
                                               const offload::TraceTiers& own) {
  const offload::ReplaySpeeds speeds{
      .host_link = 1e9 * options.host_link_gb_per_s.value_or(1e-9 * double(own.host_link)),
      .disk_link = 1e9 * options.disk_link_gb_per_s.value_or(1e-9 * double(own.disk_link)),
      .step_seconds = 1e-3 * options.step_ms.value_or(0)};
  const bool known = speeds.host_link > 0 || speeds.disk_link > 0 || speeds.step_seconds > 0;
  return known ? std::optional(speeds) : std::nullopt;
}

}  // namespace

int run_replay(const ReplayOptions& options) {
  const InterruptGuard interrupt;
  const auto disk = io::make_posix_disk();
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const std::string path = trace_of(*disk, options.path);
  const offload::TraceHeader header = offload::TraceReader(*disk, path).header();
  const offload::TraceTiers own = report::first_tiers(*disk, path);
  std::vector<Replay> replays = replays_of(options, header, own);
  for (Replay& replay : replays) {
    replay.speeds = speeds_of(options, own);
    if (options.until) replay.until = static_cast<std::uint64_t>(*options.until);
  }
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  report::run_replays(*disk, path, replays,
                      options.threads > 0 ? static_cast<std::size_t>(options.threads) : cores,
                      [&] { interrupt.check(); });
  if (options.json) {
    fmt::print("{}\n", replay_json(path, replays).dump());
  } else {
    fmt::print("{}", options.csv ? replay_csv(replays) : replay_table(path, replays));
  }
  return 0;
}

}  // namespace mneme::tools
