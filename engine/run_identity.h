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

// The segments of a run that goes on after `completed_steps` with a configuration.
std::vector<ScheduleSegment> continue_schedule(std::span<const ScheduleSegment> past,
                                               std::uint64_t completed_steps, const Config& config);
// The learning rate of values in every step of the run.
memory::Schedule value_schedule(std::span<const ScheduleSegment> segments, const Config& config);

}  // namespace mneme::engine
