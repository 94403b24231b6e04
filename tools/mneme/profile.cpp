// mneme profile: trains for some steps, measures what the machine reaches, and reports.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/device.h"
#include "engine/metrics_reader.h"
#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/own_file.h"
#include "io/progress.h"
#include "io/timeline.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/commit.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/report_output.h"
#include "tools/mneme/training.h"
#include "tools/mneme/version.h"
#include "tools/report/gzip.h"
#include "tools/report/profile_notes.h"

namespace mneme::tools {
namespace {

// A megabyte or two as a file; more than a viewer draws at ease.
constexpr std::size_t kMostSpans = 200'000;
constexpr const char* kTimelineComment = "mneme timeline";

std::string version_text() {
  std::string text = kVersion;
  if (std::string_view(kCommit) != "") text += fmt::format(", commit {}", kCommit);
  return text;
}

std::string utc_now() {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::gmtime(std::time(nullptr)));
}

// What is profiled: a new run, or the next steps of one.
struct Profiled {
  engine::Config config;
  engine::TrainerOptions training;
  std::uint64_t steps_before = 0;
};

// Steps, and nothing between them: no checkpoint, so that the next profile may take the folder.
void train_alone(engine::Config& config) {
  config.checkpoint.every = config.evaluation.every = config.sample.every = 0;
  config.checkpoint.final = config.evaluation.final = false;
  config.sample.tokens = 0;
}

Profiled profiled_run(io::Disk& disk, const ProfileOptions& options) {
  Profiled profiled;
  if (disk.is_directory(options.path)) {
    if (!options.output.empty()) {
      io::fail("--output is for the profile of a configuration; that of a run is in its folder");
    }
    const engine::RunDirectory directory(disk, options.path);
    profiled.config = directory.config(options.overrides);
    profiled.training.resume = true;
    profiled.steps_before = directory.checkpoint().step;
  } else {
    profiled.config = engine::load_config(options.path, options.overrides);
    profiled.config.run.directory =
        options.output.empty() ? profiled.config.run.directory + "-profile" : options.output;
    profiled.training.saves_at_stop = false;
    train_alone(profiled.config);
  }
  const std::uint64_t last =
      profiled.steps_before + static_cast<std::uint64_t>(options.warm_up + options.steps);
  const auto all = static_cast<std::uint64_t>(profiled.config.train.steps);
  if (last > all) {
    io::fail(
        "{}: {} of {} steps are left, and {} are asked for; raise train.steps, or lower "
        "--warm-up and --steps",
        options.path, all - std::min(all, profiled.steps_before), all,
        options.warm_up + options.steps);
  }
  profiled.training.stop_after = last;
  profiled.training.traces = profiled.config.has_memory();
  return profiled;
}

// The bytes of a slot of the rows file; 0 where no row has gone to the disk.
std::uint32_t slot_bytes_of(const std::vector<engine::StepMetrics>& lines) {
  offload::Books books;
  for (const engine::StepMetrics& line : lines) books += line.books;
  const offload::Entry all = books.total();
  const std::uint64_t rows = all.disk_rows_written();
  return rows == 0 ? 0 : static_cast<std::uint32_t>(all.disk_bytes_written() / rows);
}

}  // namespace

int run_profile(const ProfileOptions& options) {
  const auto disk = io::make_posix_disk();
  Profiled profiled = profiled_run(*disk, options);
  const engine::Config& config = profiled.config;
  const std::uint64_t first =
      profiled.steps_before + static_cast<std::uint64_t>(options.warm_up) + 1;
  std::optional<io::Timeline> timeline;
  if (options.warm_up == 0) timeline.emplace(kMostSpans);
  profiled.training.on_step = [&](const engine::StepMetrics& metrics) {
    if (metrics.step + 1 == first) timeline.emplace(kMostSpans);
  };
  const engine::TrainResult result = run_training(config, profiled.training);
  report::ProfileNotes notes{// One that was interrupted while it warmed up reports all the same.
                             .first_step = first <= result.last_step ? first : 0,
                             .date = utc_now(),
                             .version = version_text(),
                             .machine = report::this_machine(),
                             .device = {},
                             .ceilings = {}};
  const std::string& directory = config.run.directory;
  {
    const InterruptGuard interrupt;
    io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
    const io::Phase phase("measuring what the links reach", 1, "links");
    const auto backend = engine::make_backend(config.run);
    notes.device = engine::describe(*backend);
    const auto lines = engine::read_metrics(*disk, engine::metrics_path(directory));
    notes.ceilings = report::measure_ceilings(*backend, *disk, config, slot_bytes_of(lines),
                                              [&] { interrupt.check(); });
  }
  report::write_profile_notes(*disk, directory, notes);
  if (timeline) {
    io::replace_own_file(*disk, directory + "/timeline.json.gz",
                         report::gzip_mark(kTimelineComment),
                         report::gzip_file(timeline->trace_events(), kTimelineComment));
  }
  ReportOptions report;
  report.directory = directory;
  report.json = options.json;
  return write_report(*disk, report);
}

}  // namespace mneme::tools
