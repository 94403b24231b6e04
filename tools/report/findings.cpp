#include "tools/report/findings.h"

#include <algorithm>
#include <utility>

#include "engine/metrics_reader.h"
#include "engine/run_files.h"
#include "io/error.h"
#include "io/progress.h"
#include "kernels/machine_memory.h"
#include "offload/trace/trace_file.h"
#include "tools/report/replays.h"

namespace mneme::report {
namespace {

// The newest trace of the run's table; empty without one.
std::string trace_of_run(const io::Disk& disk, const std::string& directory) {
  const std::vector<std::string> paths = engine::trace_paths(disk, directory, 0);
  return paths.empty() ? "" : paths.back();
}

// Whether the steps that count can be replayed: the newest trace may begin behind them, or end
// before.
bool holds_steps(io::Disk& disk, const std::string& trace, const RunReport& report) {
  offload::TraceReader reader(disk, trace);
  std::uint64_t first = 0, last = 0;
  offload::TraceEvent event;
  while (reader.next(event)) {
    if (event.kind != offload::TraceKind::kStep) continue;
    if (first == 0) first = event.number;
    last = event.number;
  }
  return first > 0 && first <= report.first_step && last >= report.last_step;
}

// On the CPU backend both tiers are in the machine's memory, with what is free of it to grow into.
void limit_budgets(io::Disk& disk, const engine::Config& config, WhatIfOptions& options) {
  const offload::TraceTiers own = first_tiers(disk, options.trace);
  const auto room = static_cast<std::uint64_t>(kernels::free_memory_bytes());
  options.most_host_bytes = host_budget(own) + room;
  if (config.run.device == engine::DeviceKind::kCpu) {
    options.most_device_bytes = device_budget(own) + room;
  }
}

std::optional<offload::TraceUsage> usage_of_trace(io::Disk& disk, const engine::Config& config,
                                                  const std::string& trace,
                                                  const std::function<void()>& check) {
  const std::size_t bytes = 12 * config.table_rows() * (1 + config.table_blocks().size());
  if (bytes > kernels::free_memory_bytes() / 2) return {};
  offload::TraceReader reader(disk, trace);
  io::Phase phase("counting uses of rows", reader.file_bytes(), "bytes");
  return offload::usage_of(reader, [&] {
    if (check) check();
    phase.reach(reader.position());
  });
}

}  // namespace

Findings findings_of(io::Disk& disk, const std::string& directory, const FindOptions& options) {
  const std::string metrics = engine::metrics_path(directory);
  if (!disk.exists(metrics)) {
    io::fail("{}: no metrics; name the folder of a run, such as runs/quickstart", directory);
  }
  Findings findings{.directory = directory,
                    .config = engine::load_config(engine::config_path(directory)),
                    .lines = engine::read_metrics(disk, metrics),
                    .report = {},
                    .notes = read_profile_notes(disk, directory),
                    .what_ifs = {},
                    .usage = {},
                    .verdict = {}};
  std::uint64_t from = options.from;
  if (from == 0 && findings.notes) from = findings.notes->first_step;
  try {
    findings.report = report_of(findings.lines, findings.config.tokens_per_step(), from);
  } catch (const io::Error& error) {
    io::fail("{}: {}", metrics, error.what());
  }
  const std::string trace = trace_of_run(disk, directory);
  if (options.replays && !trace.empty() && findings.config.has_memory() &&
      holds_steps(disk, trace, findings.report)) {
    WhatIfOptions what_if{.trace = trace, .threads = options.threads, .check = options.check};
    limit_budgets(disk, findings.config, what_if);
    findings.what_ifs = what_ifs(disk, findings.config, findings.report, what_if);
    findings.usage = usage_of_trace(disk, findings.config, trace, options.check);
  }
  findings.verdict = verdict_of(findings.report, findings.what_ifs ? &*findings.what_ifs : nullptr);
  return findings;
}

}  // namespace mneme::report
