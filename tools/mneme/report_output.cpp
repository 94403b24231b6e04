#include "tools/mneme/report_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "io/error.h"
#include "io/own_file.h"
#include "io/progress.h"
#include "tools/mneme/interrupt.h"
#include "tools/report/comparison.h"
#include "tools/report/findings.h"
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

void write(io::Disk& disk, const std::string& folder, const std::vector<report::PageFile>& files) {
  disk.make_directories(folder);
  for (const report::PageFile& file : files) {
    io::replace_own_file(disk, folder + "/" + file.name, file.mark, file.content);
  }
}

// The pages of a comparison belong to neither run.
int write_comparison(io::Disk& disk, const ReportOptions& options) {
  if (options.csv) io::fail("--csv is for one run; two are compared as JSON or as a page");
  const report::Findings first = find(disk, options.directory, options, true);
  const report::Findings second = find(disk, options.other, options, true);
  if (options.json) {
    fmt::print("{}\n", report::comparison_json(first, second));
    return 0;
  }
  const std::string folder = options.output.empty() ? "." : options.output;
  write(disk, folder, report::comparison_files(first, second));
  fmt::print("{}{}/comparison.html shows it\n", report::comparison_text(first, second), folder);
  return 0;
}

}  // namespace

int write_report(io::Disk& disk, const ReportOptions& options) {
  if (!options.other.empty()) return write_comparison(disk, options);
  const report::Findings findings =
      find(disk, options.directory, options, /*replays=*/!options.csv);
  if (options.csv) {
    fmt::print("{}", report::report_csv(findings.lines));
    return 0;
  }
  const std::string folder = options.output.empty() ? options.directory : options.output;
  write(disk, folder, report::files_of(findings));
  if (options.json) {
    fmt::print("{}\n", report::report_json(findings));
  } else {
    fmt::print("{}{}/report.html shows it\n", report::report_text(findings), folder);
  }
  return 0;
}

}  // namespace mneme::tools
