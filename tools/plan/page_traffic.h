// Rows that a training step moves between the tiers, and how long it takes with them: from a trace,
// whose leases the planner goes through with other tiers, or, without one, from how skewed the use
// of rows is.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/disk.h"
#include "offload/store_options.h"

namespace mneme::plan {

// Of a step, mean.
struct PageTraffic {
  double distinct_rows = 0;  // that the step updates
  double leased_rows = 0;    // of all its leases
  // Rows that forward passes find: of a trace each once for each layer and micro-batch, of a law
  // once a step.
  double found_on_device = 0, found_in_host = 0, found_on_disk = 0, new_rows = 0;
  // Bytes of records; of disk slots at the disk.
  double to_device_bytes = 0, from_device_bytes = 0;  // over the host link
  double disk_read_bytes = 0, disk_written_bytes = 0;
  double disk_reads = 0, disk_writes = 0;  // records
  double step_seconds = 0;                 // computation, and waits for rows
};

// Speeds of links that a step waits for. 0: no time passes.
struct LinkSpeeds {
  double host_link = 0;  // bytes a second, in each direction
  double disk_read = 0, disk_write = 0;
  double disk_reads = 0, disk_writes = 0;  // records a second
  double generate = 0;
  bool free_reads = false, free_writes = false;  // whatever is said above: no time passes
  // Of so many bytes in so many records.
  double read_seconds(double bytes, double records) const;
  double write_seconds(double bytes, double records) const;
};

// How a step is taken with tiers like these.
struct TrafficQuestion {
  offload::StoreOptions store;  // tiers and records
  // Seconds of computation, of a step whose rows and moves are known.
  std::function<double(const PageTraffic&)> computation;
  LinkSpeeds links;
};

// ---- From a trace, of a run with any tiers of the same table.

struct TraceOptions {
  std::string path;
  std::uint64_t record_bytes = 0;  // that its run had: of all columns of a row
  std::size_t threads = 1;
  std::function<void()> check = [] {};  // asked now and then; what it throws ends the call
};
// Throws Error where the trace is of another table than the questions' store, or shorter than three
// steps. Steps of the first tenth, in which tiers fill up, do not count.
std::vector<PageTraffic> replayed_traffic(io::Disk& disk, const TraceOptions& trace,
                                          std::span<const TrafficQuestion> questions);

// ---- From a law: look-ups that fall on rows independently, on the row of rank i with probability
// i^-skew (as tools/mneme/popularity.h draws them), in a table whose rows are all in use. Each tier
// holds the rows used last: a row is found where it was used within the time in which as many
// distinct rows are used as the tier holds (Che's approximation).

struct SkewedUse {
  double skew = 0.6;
  double lookups = 0;       // of a step, all layers
  std::int64_t leases = 1;  // of forward passes: layers x micro-batches
};
// Waits for rows are those of the busier link; none of them is hidden behind computation.
PageTraffic skewed_traffic(const SkewedUse& use, const TrafficQuestion& question);

}  // namespace mneme::plan
