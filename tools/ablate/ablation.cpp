#include "tools/ablate/ablation.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>

#include "engine/config.h"
#include "engine/row_gradient_choice.h"
#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "engine/tier_choice.h"
#include "io/checksum.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "io/log.h"
#include "tools/ablate/answers.h"
#include "tools/ablate/child.h"
#include "tools/report/comparison.h"
#include "tools/report/findings.h"

namespace mneme::ablate {
namespace {

// Of every cell, unless the grid says otherwise: steps, and what they are measured by.
constexpr const char* kUsual[] = {"sample.tokens=0", "checkpoint.every=0",
                                  "checkpoint.final=false"};

std::string checksum_of(std::string_view text) {
  return fmt::format("{:016x}", io::checksum64(text));
}

// Budgets that the run chooses count as they would be chosen now.
std::uint64_t device_bytes_of(engine::Config config, const io::Disk& disk) {
  if (!config.has_memory()) return 0;
  if (config.tiers.automatic.any()) choose_tiers(config, engine::free_memory(config, disk));
  engine::apply_tier_shares(config);
  const std::uint64_t table = config.table_rows() * engine::row_layout(config).record_bytes();
  return std::min(config.tiers.store.device_bytes, table);
}

// The same wherever it lies.
std::string identity_of(engine::Config config) {
  config.run.directory = "cell";
  return checksum_of(engine::to_toml(config));
}

PlannedRun planned(const io::Disk& disk, const std::string& path,
                   const std::vector<std::string>& overrides, Replayable& replay) {
  PlannedRun run;
  try {
    engine::Config config = engine::load_config(path, overrides);
    run.device_bytes = device_bytes_of(config, disk);
    run.chooses_tiers = config.tiers.automatic.any();
    replay = replayable(config);
    run.identity = identity_of(config);
  } catch (const io::Error& error) {
    run.problem = replay.why_not = error.what();
    std::string text = path;
    for (const std::string& one : overrides) text += "\n" + one;
    run.identity = checksum_of(text);
  }
  return run;
}

// Rows of a run that has no checkpoint are of use to nobody.
void remove_rows(io::Disk& disk, const std::string& directory) {
  const auto run = engine::unfinished_run(disk, directory);
  if (!run) return;
  for (const std::string& path : engine::rows_paths(run->config, run->id, 0)) {
    if (disk.exists(path)) disk.remove(path);
  }
}

// A run that was stopped has saved itself, and could be resumed; but its tiers would be empty then,
// and its numbers others. Without its manifest a new run takes its place. A run of another
// configuration stays as it is; one that has chosen its tiers is known by its folder's name alone.
void forget_stopped_run(io::Disk& disk, const std::string& directory, const PlannedRun& run) {
  try {
    const engine::RunDirectory stopped(disk, directory);
    engine::Config config = stopped.config();
    if (identity_of(config) != run.identity) config.run.trace = false;  // it was for replays
    if (run.chooses_tiers || identity_of(config) == run.identity) {
      disk.remove(stopped.manifest_file());
    }
  } catch (const io::Error&) {
    // There is none.
  }
}

std::string without_mark(std::string line) {
  constexpr std::string_view kError = "error: ";
  if (line.starts_with(kError)) line.erase(0, kError.size());
  return line;
}

// Which of two cells is to be trained for the trace. The counts are the same; it is about the
// speeds from which times are predicted. Where links are the machine's own, a run has to use them
// for that: small tiers do. Where their speeds are declared, large ones are done sooner.
bool is_better_traced(const offload::TraceTiers& a, const offload::TraceTiers& b) {
  const auto rows = [](const offload::TraceTiers& tiers) {
    return tiers.device_slots + tiers.host_slots;
  };
  if (a.host_link > 0 && a.disk_link > 0) return rows(a) > rows(b);
  const bool a_has_host = a.host_slots > 0, b_has_host = b.host_slots > 0;
  return a_has_host != b_has_host ? a_has_host : rows(a) < rows(b);
}

std::string ending_of(const ChildResult& child) {
  if (WIFSIGNALED(child.status)) return fmt::format("ended by signal {}", WTERMSIG(child.status));
  return fmt::format("ended with status {}", WEXITSTATUS(child.status));
}

}  // namespace

Ablation::Ablation(io::Disk& disk, Grid grid)
    : disk_(disk),
      grid_(std::move(grid)),
      lock_([&] {
        disk.make_directories(grid_.directory + "/cells");
        return disk.lock(grid_.directory, io::LockKind::kExclusive);
      }()),
      results_(disk, grid_.directory) {
  std::vector<PlannedRun> first;
  for (std::size_t cell = 0; cell < grid_.cells.size(); ++cell) {
    PlannedRun run =
        planned(disk_, grid_.config, overrides_of(grid_.cells[cell]), replayable_.emplace_back());
    run.cell = cell;
    if (replayable_[cell].why_not.empty()) groups_[replayable_[cell].group].push_back(cell);
    first.push_back(std::move(run));
  }
  for (std::int64_t repeat = 0; repeat < grid_.repeats; ++repeat) {
    for (PlannedRun run : first) {
      run.repeat = repeat;
      runs_.push_back(std::move(run));
    }
  }
}

std::vector<std::string> Ablation::overrides_of(const Cell& cell) const {
  std::vector<std::string> overrides(std::begin(kUsual), std::end(kUsual));
  for (const std::vector<Setting>* settings : {&grid_.common, &cell.settings}) {
    for (const Setting& setting : *settings) {
      overrides.push_back(setting.key + "=" + setting.value);
    }
  }
  return overrides;
}

const RunResult* Ablation::result(const PlannedRun& run) const {
  return results_.find(run.identity, run.repeat);
}

bool Ablation::is_of_replayed_cell(const PlannedRun& run) const {
  if (run.repeat == 0) return false;
  const RunResult* const first = result(run_of(run.cell));
  return first != nullptr && !first->replayed.empty();
}

// Of a replayed cell further runs are due where it is to be trained.
bool Ablation::is_due(const PlannedRun& run, const AblationOptions& options) const {
  if (options.replay && is_of_replayed_cell(run)) return false;
  const RunResult* const found = result(run);
  if (found == nullptr) return true;
  if (!found->replayed.empty()) return !options.replay;
  return options.retry && found->outcome != Outcome::kDone;
}

bool Ablation::is_due(const PlannedRun& run, const Work& work) const {
  return !work.made.contains({run.identity, run.repeat}) && is_due(run, work.options);
}

RunCounts Ablation::count(const AblationOptions& options) const {
  const AblationHooks none;
  return count(Work{none, options});
}

RunCounts Ablation::count(const Work& work) const {
  std::set<std::size_t> replayed;  // cells that will be
  for (const auto& [group, cells] : groups_) {
    if (!work.options.replay || cells.size() < 2) continue;
    const std::vector<const PlannedRun*> due = due_of_group(group, work);
    const std::size_t trained = due.empty() || traced_of_group(group) != nullptr ? 0 : 1;
    for (std::size_t i = trained; i < due.size(); ++i) replayed.insert(due[i]->cell);
  }
  RunCounts counts;
  for (const PlannedRun& run : runs_) {
    if (work.options.replay && is_of_replayed_cell(run)) continue;
    if (run.repeat > 0 && replayed.contains(run.cell)) continue;
    ++(is_due(run, work) ? counts.left : counts.there);
  }
  return counts;
}

std::vector<const RunResult*> Ablation::results_of(std::size_t cell) const {
  std::vector<const RunResult*> found;
  for (std::size_t i = cell; i < runs_.size(); i += grid_.cells.size()) {
    const RunResult* const one = result(runs_[i]);
    if (one != nullptr) found.push_back(one);
  }
  return found;
}

void Ablation::run(const AblationHooks& hooks, const AblationOptions& options) {
  Work work{hooks, options};
  for (const PlannedRun& run : runs_) {
    if (options.replay && run.repeat == 0) settle_group(run, work);
    if (is_due(run, work)) make(run, /*with_trace=*/false, work);
  }
}

void Ablation::make(const PlannedRun& run, bool with_trace, Work& work) {
  work.hooks.check();
  add(train(run, work.hooks, with_trace), work);
}

void Ablation::add(RunResult result, Work& work) {
  work.made.insert({result.identity, result.repeat});
  results_.add(result);
  if (work.hooks.ends) work.hooks.ends(result, count(work));
}

// In the order in which they are taken to be trained.
std::vector<const PlannedRun*> Ablation::due_of_group(const std::string& group,
                                                      const Work& work) const {
  std::vector<const PlannedRun*> due;
  if (work.unanswered.contains(group)) return due;
  for (const std::size_t cell : groups_.at(group)) {
    if (is_due(run_of(cell), work)) due.push_back(&run_of(cell));
  }
  std::stable_sort(due.begin(), due.end(), [this](const PlannedRun* a, const PlannedRun* b) {
    return is_better_traced(replayable_[a->cell].tiers, replayable_[b->cell].tiers);
  });
  return due;
}

// One that was trained with a trace, which is still there.
const PlannedRun* Ablation::traced_of_group(const std::string& group) const {
  for (const std::size_t cell : groups_.at(group)) {
    const RunResult* const found = result(run_of(cell));
    const bool is_trained =
        found != nullptr && found->replayed.empty() && found->outcome == Outcome::kDone;
    if (is_trained && has_trace(disk_, directory_of(run_of(cell)))) return &run_of(cell);
  }
  return nullptr;
}

// Answers for the run and for what else is due of its group. One of them is trained for that, and
// another one where it fails; a cell alone is left to be trained as it is.
void Ablation::settle_group(const PlannedRun& run, Work& work) {
  const Replayable& replay = replayable_[run.cell];
  if (!replay.why_not.empty()) return;
  while (is_due(run, work)) {
    const std::vector<const PlannedRun*> due = due_of_group(replay.group, work);
    const PlannedRun* const traced = traced_of_group(replay.group);
    if (traced != nullptr && !due.empty()) return answer(*traced, due, work);
    if (due.size() < 2) return;
    make(*due.front(), /*with_trace=*/true, work);
  }
}

void Ablation::answer(const PlannedRun& traced, const std::vector<const PlannedRun*>& due,
                      Work& work) {
  std::optional<Answers> answers;
  for (std::size_t first = 0; first < due.size(); first += Answers::at_once()) {
    const auto start = std::chrono::steady_clock::now();
    const std::size_t count = std::min(Answers::at_once(), due.size() - first);
    std::vector<offload::TraceTiers> tiers;
    for (std::size_t i = 0; i < count; ++i) {
      tiers.push_back(replayable_[due[first + i]->cell].tiers);
    }
    std::vector<Answers::Numbers> told;
    try {
      if (!answers) answers.emplace(disk_, directory_of(traced), work.hooks.check);
      told = answers->of(tiers, work.hooks.check);
    } catch (const io::Error& error) {
      io::warn("the other cells of {} are trained: {}", directory_of(traced), error.what());
      work.unanswered.insert(replayable_[traced.cell].group);
      return;
    }
    const double seconds = 1e-3 * io::elapsed_ms(start) / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i) {
      const PlannedRun& run = *due[first + i];
      add({.identity = run.identity,
           .repeat = run.repeat,
           .settings = grid_.cells[run.cell].settings,
           .replayed = traced.identity,
           .outcome = Outcome::kDone,
           .error = {},
           .seconds = seconds,
           .numbers = std::move(told[i])},
          work);
    }
  }
}

std::string Ablation::directory_of(const PlannedRun& run) const {
  return fmt::format("{}/cells/{}-{}", grid_.directory, run.identity, run.repeat);
}

RunResult Ablation::train(const PlannedRun& run, const AblationHooks& hooks, bool with_trace) {
  const Cell& cell = grid_.cells[run.cell];
  RunResult result{.identity = run.identity,
                   .repeat = run.repeat,
                   .settings = cell.settings,
                   .replayed = {},
                   .outcome = Outcome::kFailed,
                   .error = run.problem,
                   .seconds = 0,
                   .numbers = {}};
  if (!run.problem.empty()) return result;
  const std::string directory = directory_of(run);
  disk_.make_directories(directory);
  forget_stopped_run(disk_, directory, run);
  std::vector<std::string> words = {"train", grid_.config};
  for (const std::string& one : overrides_of(cell)) words.insert(words.end(), {"--set", one});
  words.insert(words.end(), {"--set", engine::text_override("run.directory", directory)});
  if (with_trace) words.insert(words.end(), {"--set", "run.trace=true"});
  const ChildResult child =
      run_child(words, directory + "/log.txt", grid_.time_limit_s, hooks.check);
  result.seconds = child.seconds;
  remove_rows(disk_, directory);
  if (child.timed_out) {
    result.outcome = Outcome::kTimedOut;
    result.error = fmt::format("not done after {:.0f} s (time_limit_s)", grid_.time_limit_s);
    return result;
  }
  if (child.status != 0) {
    result.error = child.last_line.empty() || WIFSIGNALED(child.status)
                       ? ending_of(child)
                       : without_mark(child.last_line);
    return result;
  }
  try {
    report::FindOptions options;
    options.replays = false;
    const report::Findings findings = report::findings_of(disk_, directory, options);
    result.numbers = report::numbers_of(findings);
    result.outcome = Outcome::kDone;
  } catch (const io::Error& error) {
    result.error = error.what();
  }
  return result;
}

}  // namespace mneme::ablate
