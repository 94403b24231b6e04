// What a trace holds, counted.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "offload/trace/trace_file.h"

namespace mneme::offload {

struct TraceSummary {
  struct Process {
    std::uint64_t steps_before = 0;  // complete when it began
    bool continues = false;          // the process before
    TraceTiers tiers;
  };
  struct Count {
    std::uint64_t events = 0, rows = 0;
  };

  TraceHeader header;
  std::vector<Process> processes;
  std::uint64_t first_step = 0, last_step = 0, steps = 0;  // begun; 0: none
  std::map<Account, Count> leases, hints;
  std::uint64_t checkpoints = 0, micro_batches = 0, tokens = 0;
  std::uint64_t frames = 0, file_bytes = 0, event_bytes = 0;
  bool is_cut = false;

  Count all_leases() const;
  Count all_hints() const;
  // Of the file, for each row of a lease or hint.
  double bytes_per_row() const;
};

// Reads the rest of a trace. between: called now and then; what it throws ends the call.
TraceSummary summarise(TraceReader& reader, const std::function<void()>& between = {});

// One row that a lease asked for.
struct TraceReference {
  std::uint64_t step = 0;   // that was running, or had run last
  std::uint64_t lease = 0;  // counted from 1, over all processes
  Account account;
  bool read_only = false;
  kernels::RowId row = 0;
};

// Calls visit(reference) for every row of every lease of training (all: of every lease), in order.
// forward_only: of forward passes alone, so that a row counts once for each layer that reads it.
struct ReferencesWanted {
  bool all = false;
  bool forward_only = false;
};
void for_each_reference(TraceReader& reader, const ReferencesWanted& wanted,
                        const std::function<void(const TraceReference&)>& visit,
                        const std::function<void()>& between = {});

}  // namespace mneme::offload
