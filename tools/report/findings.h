// All that is known of a run: what reports, pages and comparisons are made from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/metrics.h"
#include "io/disk.h"
#include "offload/replay/row_usage.h"
#include "tools/report/profile_notes.h"
#include "tools/report/run_report.h"
#include "tools/report/verdict.h"
#include "tools/report/what_if.h"

namespace mneme::report {

struct Findings {
  std::string directory;
  engine::Config config;
  std::vector<engine::StepMetrics> lines;  // of all steps
  RunReport report;                        // of those that count
  std::optional<ProfileNotes> notes;       // of a profile
  // Of a trace that holds these steps.
  std::optional<WhatIfs> what_ifs;
  std::optional<offload::TraceUsage> usage;
  Verdict verdict;
};

struct FindOptions {
  std::uint64_t from = 0;  // first step that counts; 0: a profile's, or behind the first tenth
  bool replays = true;     // answers what takes replays of the trace
  std::size_t threads = 1;
  std::function<void()> check;  // asked now and then; what it throws ends the call
};

// Of a run's folder, also while the run trains. Throws Error naming the file that is missing or
// wrong.
Findings findings_of(io::Disk& disk, const std::string& directory, const FindOptions& options);

}  // namespace mneme::report
