// The files and the text of a report.
#pragma once

#include "io/disk.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

// Reads the run's folder, writes the pages there, or into options.output, and prints the report; or
// only prints JSON or CSV. Returns the exit status. Throws Error; Interrupted at a signal.
int write_report(io::Disk& disk, const ReportOptions& options);

}  // namespace mneme::tools
