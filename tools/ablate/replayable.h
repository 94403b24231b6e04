// Which runs the trace of another run tells every count of.
//
// A replay knows the tiers' sizes, their policies and the speeds of their links, and asks for the
// rows that the traced run asked for. Runs of one group ask for the same rows: nothing that a
// replay cannot change differs between them. What depends on time, or on what is where at a
// moment, is none of a replay's business: hints, and checkpoints while training goes on.
#pragma once

#include <string>

#include "engine/config.h"
#include "offload/trace/trace_events.h"

namespace mneme::ablate {

struct Replayable {
  std::string why_not;        // a clause: why a replay cannot stand for this run; empty: it can
  std::string group;          // checksum of all that a replay cannot change
  offload::TraceTiers tiers;  // that the run would have
};

Replayable replayable(const engine::Config& config);

}  // namespace mneme::ablate
