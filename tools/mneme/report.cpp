// mneme report: what the metrics of a run say of its steps.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "engine/config_reader.h"
#include "engine/metrics_reader.h"
#include "engine/run_files.h"
#include "io/disk.h"
#include "io/error.h"
#include "tools/mneme/commands.h"
#include "tools/report/run_report.h"

namespace mneme::tools {

int run_report(const ReportOptions& options) {
  const auto disk = io::make_posix_disk();
  const std::string path = engine::metrics_path(options.directory);
  if (!disk->exists(path)) {
    io::fail("{}: no metrics; name the folder of a run, such as runs/quickstart",
             options.directory);
  }
  const engine::Config config = engine::load_config(engine::config_path(options.directory));
  const std::vector<engine::StepMetrics> lines = engine::read_metrics(*disk, path);
  const auto first = static_cast<std::uint64_t>(options.from.value_or(0));
  if (options.csv) {
    fmt::print("{}", report::report_csv(lines));
    return 0;
  }
  report::RunReport report;
  try {
    report = report::report_of(lines, config.tokens_per_step(), first);
  } catch (const io::Error& error) {
    io::fail("{}: {}", path, error.what());
  }
  if (options.json) {
    fmt::print("{}\n", report::report_json(report));
  } else {
    fmt::print("{}", report::report_text(report));
  }
  return 0;
}

}  // namespace mneme::tools
