// From `run.device` to a backend.
#pragma once

#include <memory>

#include "engine/config.h"
#include "kernels/backend.h"

namespace mneme::engine {

// The backend that the run asks for. With auto, the CUDA device when there is one, else the CPU and
// a line of log that says why. Throws Error when what is asked for is not there.
std::unique_ptr<kernels::Backend> make_backend(const RunConfig& run);

}  // namespace mneme::engine
