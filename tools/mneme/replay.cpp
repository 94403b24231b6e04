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

namespace mneme::tools {
namespace {

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

offload::TraceEvent first_event(io::Disk& disk, const std::string& path) {
  offload::TraceReader reader(disk, path);
  offload::TraceEvent event;
  if (!reader.next(event) || event.kind != offload::TraceKind::kStart) {
    io::fail("{}: the trace is empty: its run was killed before its first second was over", path);
  }
  return event;
}

// Of an empty text nothing is changed.
Replay replay_with(const offload::TraceTiers& own, std::uint64_t rows, const std::string& device,
                   const std::string& host, const std::string& policy) {
  Replay replay{.knows_future = policy == kBelady, .tiers = own};
  const offload::TierOptions had{.device_policy = own.device_policy,
                                 .host_policy = own.host_policy};
  offload::TierOptions budgets = had;
  if (!policy.empty() && !replay.knows_future) {
    budgets.device_policy = budgets.host_policy =
        *io::value_named<kernels::ReplacementKind>(policy);
  }
  budgets.evaluation_share = 1e-6 * static_cast<double>(own.evaluation_millionths);
  budgets.device_bytes = (own.device_slots + own.evaluation_slots) * own.device_slot_bytes;
  budgets.host_bytes = own.host_slots * own.host_slot_bytes;
  if (!device.empty()) budgets.device_bytes = budget_of(device, rows, own.record_bytes);
  if (!host.empty()) budgets.host_bytes = budget_of(host, rows, own.record_bytes);
  const offload::SlotBytes own_bytes{own.device_slot_bytes, own.host_slot_bytes};
  const offload::SlotBytes bytes = offload::slot_bytes_with(budgets, own_bytes, had);
  const offload::TierSizes sizes = offload::tier_sizes(bytes, rows, budgets);
  if (!device.empty() || bytes.device != own_bytes.device) {
    replay.tiers.device_slots = sizes.training;
    replay.tiers.evaluation_slots = sizes.evaluation;
  }
  if (!host.empty()) replay.tiers.host_slots = sizes.host;
  replay.tiers.device_policy = budgets.device_policy;
  replay.tiers.host_policy = budgets.host_policy;
  return replay;
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

// Where a replay needs it.
std::optional<offload::NextUses> future_of(io::Disk& disk, const std::string& path,
                                           const std::vector<Replay>& replays,
                                           const InterruptGuard& interrupt) {
  const auto needs = [](const Replay& replay) { return replay.knows_future; };
  if (std::none_of(replays.begin(), replays.end(), needs)) return {};
  offload::TraceReader reader(disk, path);
  io::Phase phase("looking ahead", reader.file_bytes(), "bytes");
  return offload::NextUses(reader, [&] {
    interrupt.check();
    phase.reach(reader.position());
  });
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

void run_replay_of(io::Disk& disk, const std::string& path, Replay& replay,
                   const offload::NextUses* future, const std::function<void()>& between) {
  const auto backend = kernels::make_cpu_backend({.threads = 1});
  offload::TraceReader reader(disk, path);
  offload::ReplayStore store(*backend, reader.header(),
                             {.tiers = replay.is_own ? std::nullopt : std::optional(replay.tiers),
                              .future = replay.knows_future ? future : nullptr,
                              .speeds = replay.speeds});
  std::optional<engine::HistoryReplay> history;
  if (replay.history) history.emplace(*backend, disk, path, store, *replay.history);
  const bool takes_hints = replay.has_hints && !history;
  const auto start = std::chrono::steady_clock::now();
  offload::TraceEvent event;
  while (reader.next(event)) {
    between();
    if (event.kind == offload::TraceKind::kStep) {
      if (event.number > replay.until) break;
      ++replay.steps;
    }
    if (event.kind == offload::TraceKind::kHint && !takes_hints) continue;
    if (history) history->before(event);
    store.apply(event);
    if (history) history->after(event);
  }
  replay.books = store.books();
  replay.references = store.references();
  replay.run_seconds = store.seconds();
  replay.computed_seconds = store.computed_seconds();
  replay.seconds = 1e-3 * io::elapsed_ms(start);
}

// As many at a time as there are threads.
void run_all(io::Disk& disk, const std::string& path, std::vector<Replay>& replays,
             std::size_t threads, const InterruptGuard& interrupt) {
  const std::optional<offload::NextUses> future = future_of(disk, path, replays, interrupt);
  io::Phase phase("replaying", replays.size(), "replays");
  std::atomic<std::size_t> next = 0, done = 0;
  std::atomic<bool> stops = false;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (std::size_t i = next++; i < replays.size() && !stops; i = next++) {
      try {
        run_replay_of(disk, path, replays[i], future ? &*future : nullptr, [&] {
          if (stops) io::fail("another replay failed");
        });
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!stops.exchange(true)) failure = std::current_exception();
      }
      ++done;
    }
  };
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < std::min(threads, replays.size()); ++i) workers.emplace_back(work);
  try {
    while (done < replays.size() && !stops) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      interrupt.check();
      phase.reach(done);
    }
  } catch (...) {
    stops = true;
    for (std::thread& worker : workers) worker.join();
    throw;
  }
  for (std::thread& worker : workers) worker.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

int run_replay(const ReplayOptions& options) {
  const InterruptGuard interrupt;
  const auto disk = io::make_posix_disk();
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const std::string path = trace_of(*disk, options.path);
  const offload::TraceHeader header = offload::TraceReader(*disk, path).header();
  const offload::TraceTiers own = first_event(*disk, path).tiers;
  std::vector<Replay> replays = replays_of(options, header, own);
  for (Replay& replay : replays) {
    replay.speeds = speeds_of(options, own);
    if (options.until) replay.until = static_cast<std::uint64_t>(*options.until);
  }
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  run_all(*disk, path, replays,
          options.threads > 0 ? static_cast<std::size_t>(options.threads) : cores, interrupt);
  if (options.json) {
    fmt::print("{}\n", replay_json(path, replays).dump());
  } else {
    fmt::print("{}", options.csv ? replay_csv(replays) : replay_table(path, replays));
  }
  return 0;
}

}  // namespace mneme::tools
