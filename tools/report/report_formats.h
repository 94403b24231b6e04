// A report as text, JSON and CSV.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/metrics.h"
#include "tools/report/findings.h"

namespace mneme::report {

// For people, and for programs.
std::string report_text(const Findings& findings);
std::string report_json(const Findings& findings);
// A line for each step: times, and all fields of the books.
std::string report_csv(std::span<const engine::StepMetrics> lines);
// A line for each queue of the disk and bucket with transfers.
std::string latency_csv(const offload::DiskLatencies& latencies);
// A line for each size of memory.
std::string misses_csv(const std::vector<MissPoint>& misses);

}  // namespace mneme::report
