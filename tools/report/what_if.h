// What would have made the steps of a run shorter: its trace is replayed with one resource after
// the other infinitely fast, which names what bounds a step, and with one setting after the other
// changed. Nothing here is a threshold on a measured number: what is asked is always what a step
// would take, by the model of step_model.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/config.h"
#include "io/disk.h"
#include "offload/replay/replay_clock.h"
#include "tools/report/run_report.h"

namespace mneme::report {

// A step with one thing other than it was.
struct WhatIf {
  std::string name;                  // of the resource; of a setting: what is done, in words
  std::vector<std::string> changes;  // of a setting: for --set
  double step_ms = 0;                // predicted
  double gain = 0;                   // of the measured step; below 0 where it would take longer
  ReadsByTier reads;                 // of a step
  double disk_read_bytes = 0, disk_written_bytes = 0;  // of a step
};

// Rows that were not in memory, as a share of the rows that forward passes read, by what the two
// tiers of memory hold.
struct MissPoint {
  std::uint64_t rows = 0;   // of both tiers
  std::uint64_t bytes = 0;  // of the budgets
  double planned = 0;       // with the run's policies
  double belady = 0;
};

struct WhatIfs {
  offload::ReplaySpeeds speeds;  // of the model
  double measured_ms = 0, modelled_ms = 0;
  // Each resource infinitely fast, the largest gain first.
  std::vector<WhatIf> resources = {};
  // Each setting, the largest gain first.
  std::vector<WhatIf> settings = {};
  std::vector<MissPoint> misses = {};  // by growing rows
  std::uint64_t rows_now = 0;          // that both tiers hold
};

struct WhatIfOptions {
  std::string trace;  // path
  std::size_t threads = 1;
  // The most that a setting may take of a memory; 0: no limit is known.
  std::uint64_t most_device_bytes = 0, most_host_bytes = 0;
  std::function<void()> check = {};  // asked now and then; what it throws ends the call
};

// Of the steps that `report` is of. Throws Error where the trace does not hold them.
WhatIfs what_ifs(io::Disk& disk, const engine::Config& config, const RunReport& report,
                 const WhatIfOptions& options);

}  // namespace mneme::report
