// metrics.jsonl, read back: what metrics_line() wrote.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/metrics.h"
#include "io/disk.h"

namespace mneme::engine {

// A line of metrics.jsonl. Fields that an older version did not write are 0; numbers that were not
// finite are NaN. Throws Error saying what is wrong, without a name.
StepMetrics parse_metrics_line(std::string_view line);

// All whole lines of a file, in order; a last one without its end is being written, or was cut, and
// is left out. Throws Error naming path and line.
std::vector<StepMetrics> read_metrics(const io::Disk& disk, const std::string& path);

}  // namespace mneme::engine
