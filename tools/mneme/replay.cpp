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
#include "tools/mneme/trace_path.h"

namespace mneme::tools {
namespace {

using offload::Field;

// One way to replay the trace, and what came of it.
struct Replay {
  bool is_own = false;  // with the tiers that the run had, which may differ from process to process
  bool knows_future = false;  // Belady's replacement
  offload::TraceTiers tiers;
  offload::Books books = {};
  std::uint64_t until = std::numeric_limits<std::uint64_t>::max();  // the last step
  std::uint64_t references = 0, steps = 0;
  double seconds = 0;
  std::optional<offload::ReplaySpeeds> speeds = {};
  // With speeds: of the run that would have been.
  double run_seconds = 0, computed_seconds = 0;
};

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

// All combinations of what is given; what is not is as in the run's first process.
std::vector<Replay> replays_of(const ReplayOptions& options, const offload::TraceHeader& header,
                               const offload::TraceTiers& own) {
  std::vector<Replay> replays;
  if (options.device_bytes.empty() && options.host_bytes.empty() && options.policies.empty()) {
    replays.push_back({.is_own = true, .tiers = own});
    return replays;
  }
  const auto or_own = [](const std::vector<std::string>& given) {
    return given.empty() ? std::vector<std::string>{""} : given;
  };
  for (const std::string& device : or_own(options.device_bytes)) {
    for (const std::string& host : or_own(options.host_bytes)) {
      for (const std::string& policy : or_own(options.policies)) {
        replays.push_back(replay_with(own, header.rows, device, host, policy));
      }
    }
  }
  return replays;
}

// The names of the policies in the device and in the host tier.
std::pair<std::string, std::string> policies_of(const Replay& replay) {
  if (replay.knows_future) return {kBelady, kBelady};
  return {io::name_of(replay.tiers.device_policy), io::name_of(replay.tiers.host_policy)};
}

std::string policy_text(const Replay& replay) {
  const auto [device, host] = policies_of(replay);
  return device == host || replay.tiers.host_slots == 0 ? device : device + "/" + host;
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
  const auto start = std::chrono::steady_clock::now();
  offload::TraceEvent event;
  while (reader.next(event)) {
    between();
    if (event.kind == offload::TraceKind::kStep) {
      if (event.number > replay.until) break;
      ++replay.steps;
    }
    store.apply(event);
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

double percent_of(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string table_of(const std::string& path, const std::vector<Replay>& replays) {
  std::string text = fmt::format("{}: rows leased in training, and where they were\n", path);
  text += fmt::format("{:>12} {:>12} {:>11} {:>14} {:>7} {:>7} {:>7} {:>7} {:>12} {:>12} {:>12}\n",
                      "device slots", "host slots", "policy", "rows", "device", "host", "disk",
                      "new", "from host", "disk reads", "disk writes");
  for (const Replay& replay : replays) {
    const offload::Entry training = replay.books.total(offload::Cause::kTraining);
    const offload::Entry all = replay.books.total();
    const std::uint64_t rows = training[Field::kRowsLeased];
    text += fmt::format(
        "{:>12} {:>12} {:>11} {:>14} {:>6.2f}% {:>6.2f}% {:>6.2f}% {:>6.2f}% {:>12} {:>12} "
        "{:>12}\n",
        replay.tiers.device_slots, replay.tiers.host_slots, policy_text(replay), rows,
        percent_of(training[Field::kFoundOnDevice], rows),
        percent_of(training[Field::kFoundInHost], rows),
        percent_of(training[Field::kFoundOnDisk], rows),
        percent_of(training[Field::kFoundUntouched], rows), all[Field::kHostToDeviceRows],
        all.disk_rows_read(), all.disk_rows_written());
  }
  return text;
}

constexpr std::array kWaits = {Field::kStallHost, Field::kStallDisk, Field::kStallWriteBack,
                               Field::kStallHint};

double step_ms(const Replay& replay) {
  return replay.steps == 0 ? 0 : 1e3 * replay.run_seconds / static_cast<double>(replay.steps);
}

// What steps would take, where speeds are known.
std::string times_of(const std::vector<Replay>& replays) {
  if (!replays.front().speeds) return {};
  const offload::ReplaySpeeds& speeds = *replays.front().speeds;
  const auto link = [](double bytes_per_second) {
    return bytes_per_second > 0 ? fmt::format("{:.4g} GB/s", 1e-9 * bytes_per_second)
                                : std::string("of any speed");
  };
  std::string text = fmt::format(
      "times of a step: {:.4g} ms of computation, host link {}, disk {}; of which waits for rows\n",
      1e3 * speeds.step_seconds, link(speeds.host_link), link(speeds.disk_link));
  text += fmt::format("{:>12} {:>12} {:>11} {:>12} {:>9} {:>9} {:>9} {:>9} {:>12}\n",
                      "device slots", "host slots", "policy", "step ms", "host", "disk", "writes",
                      "hints", "hints late");
  for (const Replay& replay : replays) {
    const offload::Entry all = replay.books.total();
    text += fmt::format("{:>12} {:>12} {:>11} {:>12.3f}", replay.tiers.device_slots,
                        replay.tiers.host_slots, policy_text(replay), step_ms(replay));
    for (const Field field : kWaits) {
      const double share =
          replay.run_seconds > 0 ? 1e-4 * static_cast<double>(all[field]) / replay.run_seconds : 0;
      text += fmt::format(" {:>8.2f}%", share);
    }
    text += fmt::format(" {:>12}\n", all[Field::kHintsLate]);
  }
  return text;
}

// Times are known with speeds, and of waits for rows alone.
bool is_shown(const Replay& replay, const offload::FieldInfo& field) {
  return field.unit != "microseconds" ||
         (replay.speeds && std::find(kWaits.begin(), kWaits.end(), field.field) != kWaits.end());
}

std::string csv_of(const std::vector<Replay>& replays) {
  std::string text =
      "device_slots,evaluation_slots,host_slots,device_policy,host_policy,step_ms,computed_ms";
  for (const offload::FieldInfo& field : offload::kFields) {
    if (is_shown(replays.front(), field)) text += fmt::format(",{}", field.name);
  }
  text += "\n";
  for (const Replay& replay : replays) {
    const offload::Entry all = replay.books.total();
    const auto [device, host] = policies_of(replay);
    const double computed_ms =
        replay.steps == 0 ? 0 : 1e3 * replay.computed_seconds / static_cast<double>(replay.steps);
    text += fmt::format("{},{},{},{},{},{},{}", replay.tiers.device_slots,
                        replay.tiers.evaluation_slots, replay.tiers.host_slots, device, host,
                        step_ms(replay), computed_ms);
    for (const offload::FieldInfo& field : offload::kFields) {
      if (is_shown(replay, field)) text += fmt::format(",{}", all[field.field]);
    }
    text += "\n";
  }
  return text;
}

nlohmann::ordered_json json_of(const std::string& path, const std::vector<Replay>& replays) {
  auto array = nlohmann::ordered_json::array();
  for (const Replay& replay : replays) {
    auto accounts = nlohmann::ordered_json::array();
    for (const auto& [account, entry] : replay.books.entries()) {
      nlohmann::ordered_json object = {{"cause", io::name_of(account.cause)}, {"layer", nullptr}};
      if (account.layer != offload::kNoLayer) object["layer"] = account.layer;
      if (account.pass != offload::Pass::kNone) object["pass"] = io::name_of(account.pass);
      for (const offload::FieldInfo& field : offload::kFields) {
        if (is_shown(replay, field) && entry[field.field] > 0) {
          object[std::string(field.name)] = entry[field.field];
        }
      }
      accounts.push_back(std::move(object));
    }
    array.push_back({{"device_slots", replay.tiers.device_slots},
                     {"evaluation_slots", replay.tiers.evaluation_slots},
                     {"host_slots", replay.tiers.host_slots},
                     {"device_policy", policies_of(replay).first},
                     {"host_policy", policies_of(replay).second},
                     {"own", replay.is_own},
                     {"references", replay.references},
                     {"seconds", replay.seconds}});
    if (replay.speeds) {
      array.back()["run"] = {{"host_link_bytes_per_s", replay.speeds->host_link},
                             {"disk_link_bytes_per_s", replay.speeds->disk_link},
                             {"step_ms", step_ms(replay)},
                             {"seconds", replay.run_seconds},
                             {"computed_seconds", replay.computed_seconds}};
    }
    array.back()["accounts"] = std::move(accounts);
  }
  return {{"trace", io::bytes_to_utf8(path)}, {"replays", std::move(array)}};
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
    fmt::print("{}\n", json_of(path, replays).dump());
  } else {
    fmt::print("{}", options.csv ? csv_of(replays) : table_of(path, replays) + times_of(replays));
  }
  return 0;
}

}  // namespace mneme::tools
