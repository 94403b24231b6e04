#include "tools/mneme/report_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <thread>

#include "io/progress.h"
#include "tools/mneme/interrupt.h"
#include "tools/report/findings.h"
#include "tools/report/own_file.h"
#include "tools/report/page.h"
#include "tools/report/report_formats.h"

namespace mneme::tools {
namespace {

report::Findings find(io::Disk& disk, const std::string& directory, const ReportOptions& options,
                      bool replays) {
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  return report::findings_of(disk, directory,
                             {.from = static_cast<std::uint64_t>(options.from.value_or(0)),
                              .replays = replays,
                              .threads = std::max(1u, std::thread::hardware_concurrency()),
                              .check = [&] { interrupt.check(); }});
}

}  // namespace

int write_report(io::Disk& disk, const ReportOptions& options) {
  const report::Findings findings =
      find(disk, options.directory, options, /*replays=*/!options.csv);
  if (options.csv) {
    fmt::print("{}", report::report_csv(findings.lines));
    return 0;
  }
  const std::string folder = options.output.empty() ? options.directory : options.output;
  disk.make_directories(folder);
  for (const report::PageFile& file : report::files_of(findings)) {
    report::replace_own_file(disk, folder + "/" + file.name, file.mark, file.content);
  }
  if (options.json) {
    fmt::print("{}\n", report::report_json(findings));
  } else {
    fmt::print("{}{}/report.html shows it\n", report::report_text(findings), folder);
  }
  return 0;
}

}  // namespace mneme::tools
