#include "tools/report/what_if.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "engine/config_reader.h"
#include "io/enum_names.h"
#include "io/error.h"
#include "offload/trace/trace_file.h"
#include "tools/report/replays.h"
#include "tools/report/step_model.h"

namespace mneme::report {
namespace {

using kernels::ReplacementKind;
using memory::PredictorKind;
using offload::Cause;
using offload::Entry;
using offload::Field;
using offload::Pass;

// A replay and what it stands for.
struct Question {
  std::string name;
  std::vector<std::string> changes;
  Replay replay;
  bool plans_for_free = false;
};

// Those of its first steps tell.
bool has_lookups(io::Disk& disk, const std::string& trace) {
  offload::TraceReader reader(disk, trace);
  offload::TraceEvent event;
  for (int steps = 0; steps < 3 && reader.next(event);) {
    if (event.kind == offload::TraceKind::kLookups) return true;
    steps += event.kind == offload::TraceKind::kStep ? 1 : 0;
  }
  return false;
}

class Questions {
 public:
  Questions(io::Disk& disk, const engine::Config& config, const RunReport& report,
            const WhatIfOptions& options)
      : disk_(disk), config_(config), report_(report), options_(options) {
    rows_ = offload::TraceReader(disk, options.trace).header().rows;
    own_ = first_tiers(disk, options.trace);
    speeds_ = speeds_of(report, own_);
    has_lookups_ = has_lookups(disk, options.trace);
  }

  WhatIfs answer() {
    ask("", {}, own_replay());
    ask_resources();
    const std::size_t settings = questions_.size();
    ask_settings();
    const std::size_t misses = questions_.size();
    ask_misses();
    run();
    return answers(settings, misses);
  }

 private:
  Replay own_replay() const {
    return {.is_own = true,
            .tiers = own_,
            .speeds = speeds_,
            .first = report_.first_step,
            .until = report_.last_step};
  }
  Replay replay_with(const TierChange& change) const {
    Replay replay = own_replay();
    replay.is_own = false;
    replay.tiers = tiers_with(own_, rows_, change);
    return replay;
  }
  void ask(std::string name, std::vector<std::string> changes, Replay replay) {
    questions_.push_back({std::move(name), std::move(changes), std::move(replay)});
  }

  void ask_resources() {
    const auto with = [&](const char* name, const auto& change) {
      Replay replay = own_replay();
      change(*replay.speeds);
      ask(name, {}, std::move(replay));
    };
    using Speeds = offload::ReplaySpeeds;
    with("compute", [](Speeds& speeds) { speeds.step_seconds = 0; });
    with("host link", [](Speeds& speeds) { speeds.host_link = 0; });
    with("disk reads", [](Speeds& speeds) { speeds.free_reads = true; });
    with("disk writes", [](Speeds& speeds) { speeds.free_writes = true; });
    with("new rows", [](Speeds& speeds) { speeds.generate = 0; });
    with("plan", [](Speeds&) {});
    questions_.back().plans_for_free = true;
  }

  void ask_settings() {
    ask_budgets();
    for (const ReplacementKind policy : {ReplacementKind::kLru, ReplacementKind::kLfu,
                                         ReplacementKind::kClock, ReplacementKind::kSieve}) {
      if (policy == own_.device_policy && policy == own_.host_policy) continue;
      const std::string name = io::name_of(policy);
      ask("the policy " + name + " in both tiers",
          {"tiers.device_policy=" + name, "tiers.host_policy=" + name},
          replay_with({.policy = policy}));
    }
    ask_prefetch();
  }

  static bool is_allowed(std::uint64_t bytes, std::uint64_t most) {
    return most == 0 || bytes <= most;
  }

  void ask_budgets() {
    const std::uint64_t device = device_budget(own_), host = host_budget(own_);
    if (own_.device_slots < rows_ && is_allowed(2 * device, options_.most_device_bytes)) {
      ask("a device tier twice as large",
          {budget_change("device_bytes", 2 * device, config_.tiers.shares.device_percent)},
          replay_with({.device_bytes = 2 * device}));
    }
    if (host > 0 && own_.device_slots + own_.host_slots < rows_ &&
        is_allowed(2 * host, options_.most_host_bytes)) {
      ask("a host tier twice as large",
          {budget_change("host_bytes", 2 * host, config_.tiers.shares.host_percent)},
          replay_with({.host_bytes = 2 * host}));
    }
    if (host == 0 && is_allowed(device, options_.most_host_bytes)) {
      ask("a host tier as large as the device tier", {budget_change("host_bytes", device, {})},
          replay_with({.host_bytes = device}));
    }
  }
  // In the unit of the configuration. percent: twice that is meant.
  static std::string budget_change(const char* key, std::uint64_t bytes,
                                   const std::optional<double>& percent) {
    if (percent) return fmt::format("tiers.{}={:g}%", key, std::min(100.0, 2 * *percent));
    // Whole MiB, upwards, where that is little.
    constexpr std::uint64_t kMiB = 1 << 20;
    if (bytes > 64 * kMiB) bytes = (bytes + kMiB - 1) / kMiB * kMiB;
    return fmt::format("tiers.{}={}", key, engine::format_bytes(bytes));
  }

  // What the trace can tell of: hints as they were or none, and histories where it has the
  // look-ups.
  void ask_prefetch() {
    const engine::TiersConfig& tiers = config_.tiers;
    if (tiers.prefetch != PredictorKind::kNone) {
      Replay replay = own_replay();
      replay.has_hints = false;
      ask("no prefetch", {"tiers.prefetch=none"}, std::move(replay));
    }
    if (!has_lookups_ || own_.host_slots == 0) return;
    for (const PredictorKind kind :
         {PredictorKind::kTokenHistory, PredictorKind::kTrigramHistory}) {
      if (kind == tiers.prefetch) continue;
      Replay replay = own_replay();
      replay.history = {.kind = kind,
                        .confidence = tiers.prefetch_confidence,
                        .host_bytes = tiers.prefetch_bytes,
                        .device_bytes = tiers.prefetch_device_bytes,
                        .history_bytes = tiers.prefetch_history_bytes};
      const std::string name = io::name_of(kind);
      ask("rows predicted by " + name, {"tiers.prefetch=" + name}, std::move(replay));
    }
  }

  // The host tier grows and shrinks; without one, the device tier.
  void ask_misses() {
    const std::uint64_t device = device_budget(own_), host = host_budget(own_);
    for (const double factor : kMissFactors) {
      TierChange change;
      if (host > 0) {
        change.host_bytes = static_cast<std::uint64_t>(factor * static_cast<double>(host));
      } else {
        change.device_bytes = static_cast<std::uint64_t>(factor * static_cast<double>(device));
      }
      Replay replay;
      try {
        replay = replay_with(change);
      } catch (const io::Error&) {
        continue;  // below what a tier needs
      }
      replay.has_hints = false;
      replay.speeds.reset();
      if (misses_.size() > 0 && replay.tiers.device_slots == misses_.back().device_slots &&
          replay.tiers.host_slots == misses_.back().host_slots) {
        continue;  // the whole table
      }
      misses_.push_back(replay.tiers);
      ask("", {}, replay);
      replay.knows_future = true;
      ask("", {}, std::move(replay));
    }
  }

  void run() {
    std::vector<Replay> replays;
    for (Question& question : questions_) replays.push_back(std::move(question.replay));
    run_replays(disk_, options_.trace, replays, options_.threads, options_.check);
    for (std::size_t i = 0; i < replays.size(); ++i) questions_[i].replay = std::move(replays[i]);
    if (questions_.front().replay.steps == 0) {
      io::fail("{}: the trace holds none of the steps {} to {}", options_.trace, report_.first_step,
               report_.last_step);
    }
  }

  WhatIf answer_to(const Question& question) const {
    const StepModel model(report_, questions_.front().replay);
    double modelled = model.modelled_ms(question.replay);
    if (question.plans_for_free) modelled -= model.planning_ms(question.replay);
    const double measured = report_.step_ms, ms = model.predicted_ms(modelled);
    const auto steps = static_cast<double>(question.replay.steps);
    const Entry forward = question.replay.books.total(Cause::kTraining, Pass::kForward);
    const Entry all = question.replay.books.total();
    return {.name = question.name,
            .changes = question.changes,
            .step_ms = ms,
            .gain = measured > 0 ? 1 - ms / measured : 0,
            .reads = reads_of(forward, steps),
            .disk_read_bytes = double(all.disk_bytes_read()) / steps,
            .disk_written_bytes = double(all.disk_bytes_written()) / steps};
  }

  static double misses_of(const Replay& replay) {
    const Entry forward = replay.books.total(Cause::kTraining, Pass::kForward);
    const auto missed = double(forward[Field::kFoundOnDisk] + forward[Field::kFoundUntouched]);
    const auto rows = double(forward[Field::kRowsLeased]);
    return rows > 0 ? missed / rows : 0;
  }

  WhatIfs answers(std::size_t settings, std::size_t misses) const {
    WhatIfs told{.speeds = speeds_,
                 .measured_ms = report_.step_ms,
                 .modelled_ms = StepModel(report_, questions_.front().replay).own_ms()};
    for (std::size_t i = 1; i < misses; ++i) {
      (i < settings ? told.resources : told.settings).push_back(answer_to(questions_[i]));
    }
    for (auto* list : {&told.resources, &told.settings}) {
      std::stable_sort(list->begin(), list->end(),
                       [](const WhatIf& a, const WhatIf& b) { return a.gain > b.gain; });
    }
    for (std::size_t i = 0; i < misses_.size(); ++i) {
      const offload::TraceTiers& tiers = misses_[i];
      told.misses.push_back({.rows = tiers.device_slots + tiers.host_slots,
                             .bytes = device_budget(tiers) + host_budget(tiers),
                             .planned = misses_of(questions_[misses + 2 * i].replay),
                             .belady = misses_of(questions_[misses + 2 * i + 1].replay)});
    }
    told.rows_now = own_.device_slots + own_.host_slots;
    return told;
  }

  static constexpr std::array<double, 8> kMissFactors = {.25, .5, .75, 1, 1.5, 2, 4, 8};

  io::Disk& disk_;
  const engine::Config& config_;
  const RunReport& report_;
  const WhatIfOptions& options_;
  std::uint64_t rows_ = 0;
  offload::TraceTiers own_;
  offload::ReplaySpeeds speeds_;
  bool has_lookups_ = false;
  std::vector<Question> questions_;  // the first: the run as it was
  std::vector<offload::TraceTiers> misses_;
};

}  // namespace

WhatIfs what_ifs(io::Disk& disk, const engine::Config& config, const RunReport& report,
                 const WhatIfOptions& options) {
  return Questions(disk, config, report, options).answer();
}

}  // namespace mneme::report
