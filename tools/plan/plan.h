// What a configuration will be on a machine before anything runs: what of it fits, what a step
// waits for, how fast it goes and what it writes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/memory_use.h"
#include "engine/model_costs.h"
#include "engine/tier_choice.h"
#include "io/disk.h"
#include "tools/plan/machine.h"
#include "tools/plan/page_traffic.h"
#include "tools/plan/step_work.h"

namespace mneme::plan {

struct PlanOptions {
  Machine machine;
  std::string trace;         // path; empty: rows are used by `skew`
  double skew = 0.6;         // Zipf's exponent
  std::int64_t ranks = 1;    // that the table's columns and the batch are shared by; a device each
  std::uint64_t tokens = 0;  // to train on; 0: those of train.steps
  std::size_t threads = 1;
  std::function<void()> check = [] {};  // asked now and then; what it throws ends the call
};

// Bytes of a memory: what a rank takes of it, and what it may.
struct MemoryNeed {
  std::string name;
  std::uint64_t needed = 0, there = 0;
  std::string change;  // what to do where it does not fit; else empty
  bool fits() const { return needed <= there; }
};

// A step with one resource infinitely fast.
struct Bound {
  std::string resource;
  double step_seconds = 0;
};

// The smallest budget with which a step waits for rows no longer than kHidden of its computation.
struct SmallestTier {
  const char* key = "";
  std::optional<std::uint64_t> bytes;  // none: no budget does, with the other tier as it is
  bool is_least_tried = false;         // less may do as well
  bool fits = true;                    // the machine, beside the rest of the run
};
inline constexpr double kHidden = 0.02;

// How fast, where the machine says enough to tell.
struct Speed {
  StepTimes times;                                  // of computation
  PageTraffic traffic;                              // and the whole step
  double exchange_bytes = 0, exchange_seconds = 0;  // between ranks, a step
  double step_seconds = 0, tokens_per_s = 0;
  std::vector<Bound> bounds;  // the shortest step first
  std::vector<SmallestTier> smallest;
};

// What training to the end does to the disk.
struct Wear {
  double steps = 0, days = 0;
  double rows_bytes = 0, checkpoint_bytes = 0;  // written
  double written() const { return rows_bytes + checkpoint_bytes; }
};

struct Plan {
  engine::Config config;  // of a rank: its columns, and budgets in bytes
  engine::ModelCosts costs;
  engine::MemoryUse use;
  std::uint64_t disk_bytes = 0;  // when every row is in use, with checkpoints
  std::vector<MemoryNeed> needs;
  std::optional<Speed> speed;
  std::optional<Wear> wear;
  bool fits() const;
};

// config: as it was read; budgets that are "auto" are chosen for the machine. Throws Error for a
// trace of another table, for columns that ranks cannot share, and as choose_tiers() does.
Plan make_plan(io::Disk& disk, const engine::Config& config, const PlanOptions& options);

}  // namespace mneme::plan
