// mneme ablate: runs a grid of settings, and says what came of them.
#include <fmt/format.h>

#include <iostream>
#include <string>

#include "io/disk.h"
#include "io/own_file.h"
#include "io/progress.h"
#include "tools/ablate/ablation.h"
#include "tools/ablate/ablation_best.h"
#include "tools/ablate/ablation_formats.h"
#include "tools/ablate/ablation_page.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/report/page.h"

namespace mneme::tools {
namespace {

void write_files(io::Disk& disk, const ablate::Ablation& ablation) {
  const std::string& directory = ablation.grid().directory;
  io::replace_own_file(disk, directory + "/ablation.csv", "cell,repeat,",
                       ablate::ablation_csv(ablation));
  io::replace_own_file(disk, directory + "/ablation.json", R"({"mneme_ablation":1,)",
                       ablate::ablation_json(ablation) + "\n");
  io::replace_own_file(disk, directory + "/ablation.html", report::page_mark(),
                       ablate::ablation_page(ablation));
}

}  // namespace

int run_ablate(const AblateOptions& options) {
  const auto disk = io::make_posix_disk();
  ablate::Grid grid = ablate::read_grid(options.grid);
  if (!options.output.empty()) grid.directory = options.output;
  ablate::Ablation ablation(*disk, std::move(grid));
  const std::string& directory = ablation.grid().directory;
  {
    const InterruptGuard interrupt;
    io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
    const ablate::AblationOptions how{.retry = options.retry, .replay = options.replay};
    const ablate::RunCounts counts = ablation.count(how);
    progress.note(
        fmt::format("{} cells, {} runs{}", ablation.grid().cells.size(), counts.all(),
                    counts.there > 0 ? fmt::format(", {} of them are there", counts.there) : ""));
    io::Phase phase("running", counts.all(), "runs");
    phase.reach(counts.there);
    ablate::AblationHooks hooks;
    hooks.check = [&] { interrupt.check(); };
    hooks.ends = [&](const ablate::RunResult& result, const ablate::RunCounts& now) {
      phase.reach(now.there);
      std::string line =
          fmt::format("{}/{}: {}: ", now.there, now.all(),
                      ablate::cell_name(ablation.grid(), {.settings = result.settings, .at = {}}));
      if (!result.replayed.empty()) line += "replayed, ";
      if (const auto speed = result.number("tokens_per_s")) {
        line +=
            fmt::format("{:.0f} tokens/s{}", *speed, result.replayed.empty() ? "" : " predicted");
      } else if (result.outcome == ablate::Outcome::kDone) {
        line += "done";
      } else {
        line += fmt::format("{}: {}", io::name_of(result.outcome), result.error);
      }
      progress.note(line);
      write_files(*disk, ablation);
    };
    if (!options.no_run) ablation.run(hooks, how);
  }
  write_files(*disk, ablation);
  if (options.json) {
    fmt::print("{}\n", ablate::ablation_json(ablation));
  } else {
    fmt::print("{0}every number: {1}/ablation.csv; drawn: {1}/ablation.html\n",
               ablate::ablation_text(ablation), directory);
  }
  return 0;
}

}  // namespace mneme::tools
