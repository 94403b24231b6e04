// The files and the text of a report.
#pragma once

#include "io/disk.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

// Reads the run's folder, writes the pages there, or into options.output, and prints the report, as
// JSON where that is asked for; of CSV it only prints. Of two runs the page of their comparison
// goes into options.output, or the folder in which the program works; JSON is only printed. Returns
// the exit status. Throws Error; Interrupted at a signal.
int write_report(io::Disk& disk, const ReportOptions& options);

}  // namespace mneme::tools
