#include "tools/ablate/ablation.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <span>

#include "engine/config.h"
#include "engine/row_gradient_choice.h"
#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "io/checksum.h"
#include "io/error.h"
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

std::uint64_t device_bytes_of(engine::Config config) {
  if (!config.has_memory()) return 0;
  engine::apply_tier_shares(config);
  const std::uint64_t table = config.table_rows() * engine::row_layout(config).record_bytes();
  return std::min(config.tiers.store.device_bytes, table);
}

// The same wherever it lies.
std::string identity_of(engine::Config config) {
  config.run.directory = "cell";
  return checksum_of(engine::to_toml(config));
}

PlannedRun planned(const std::string& path, const std::vector<std::string>& overrides) {
  PlannedRun run;
  try {
    engine::Config config = engine::load_config(path, overrides);
    run.device_bytes = device_bytes_of(config);
    run.identity = identity_of(config);
  } catch (const io::Error& error) {
    run.problem = error.what();
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
// configuration stays as it is.
void forget_stopped_run(io::Disk& disk, const std::string& directory, const std::string& identity) {
  try {
    const engine::RunDirectory stopped(disk, directory);
    if (identity_of(stopped.config()) == identity) disk.remove(stopped.manifest_file());
  } catch (const io::Error&) {
    // There is none.
  }
}

std::string without_mark(std::string line) {
  constexpr std::string_view kError = "error: ";
  if (line.starts_with(kError)) line.erase(0, kError.size());
  return line;
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
    PlannedRun run = planned(grid_.config, overrides_of(grid_.cells[cell]));
    run.cell = cell;
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

bool Ablation::is_due(const PlannedRun& run, bool retry) const {
  const RunResult* const found = result(run);
  return found == nullptr || (retry && found->outcome != Outcome::kDone);
}

std::size_t Ablation::left() const {
  return static_cast<std::size_t>(std::count_if(
      runs_.begin(), runs_.end(), [&](const PlannedRun& run) { return is_due(run, false); }));
}

std::vector<const RunResult*> Ablation::results_of(std::size_t cell) const {
  std::vector<const RunResult*> found;
  for (std::size_t i = cell; i < runs_.size(); i += grid_.cells.size()) {
    const RunResult* const one = result(runs_[i]);
    if (one != nullptr) found.push_back(one);
  }
  return found;
}

void Ablation::run(const AblationHooks& hooks, bool retry) {
  std::vector<PlannedRun> due;
  std::copy_if(runs_.begin(), runs_.end(), std::back_inserter(due),
               [&](const PlannedRun& run) { return is_due(run, retry); });
  for (std::size_t i = 0; i < due.size(); ++i) {
    hooks.check();
    RunResult result = train(due[i], hooks);
    results_.add(result);
    if (hooks.ends) hooks.ends(result, i + 1, due.size());
  }
}

RunResult Ablation::train(const PlannedRun& run, const AblationHooks& hooks) {
  const Cell& cell = grid_.cells[run.cell];
  RunResult result{.identity = run.identity,
                   .repeat = run.repeat,
                   .settings = cell.settings,
                   .outcome = Outcome::kFailed,
                   .error = run.problem,
                   .seconds = 0,
                   .numbers = {}};
  if (!run.problem.empty()) return result;
  const std::string directory =
      fmt::format("{}/cells/{}-{}", grid_.directory, run.identity, run.repeat);
  disk_.make_directories(directory);
  forget_stopped_run(disk_, directory, run.identity);
  std::vector<std::string> words = {"train", grid_.config};
  for (const std::string& one : overrides_of(cell)) words.insert(words.end(), {"--set", one});
  words.insert(words.end(), {"--set", engine::text_override("run.directory", directory)});
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
