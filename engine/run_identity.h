// Which keys of a run's configuration may change while it goes on, and how the learning-rate
// schedule of its past stays known when they do.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/manifest.h"
#include "memory/row_optimizer.h"

namespace mneme::engine {

enum class RunUse {
  kTrain,  // go on from a checkpoint: what training computes must be the same but for the schedule
  kRead,   // evaluate, sample, export: what the checkpoint holds must be the same
};

// Throws Error naming `manifest` and the first key that must be the same and is not.
void check_identity(const Config& recorded, const Config& wanted, RunUse use,
                    const std::string& manifest);

// The segments of a run that goes on after `completed_steps` with a configuration. The steps up to
// there keep the rates that they were taken with; those from there on follow the configuration's
// schedule as if the whole run had. So train.steps may grow and shrink: with a constant schedule
// the rates stay, with a linear or cosine one they fall towards the new end.
std::vector<ScheduleSegment> continue_schedule(std::span<const ScheduleSegment> past,
                                               std::uint64_t completed_steps, const Config& config);
// What changes after `completed_steps`, for people, with the learning rate before and after; empty
// where the run goes on as it was. `segments` are those that continue_schedule() made.
std::string describe_schedule_change(std::span<const ScheduleSegment> segments,
                                     std::uint64_t completed_steps, const Config& config);
// The learning rate of values in every step of the run.
memory::Schedule value_schedule(std::span<const ScheduleSegment> segments, const Config& config);

}  // namespace mneme::engine
