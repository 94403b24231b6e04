// mneme report: what the metrics and the trace of a run say of its steps.
#include "io/disk.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/report_output.h"

namespace mneme::tools {

int run_report(const ReportOptions& options) {
  const auto disk = io::make_posix_disk();
  return write_report(*disk, options);
}

}  // namespace mneme::tools
