// From `run.device` to a backend.
#pragma once

#include <memory>
#include <string>

#include "engine/config.h"
#include "kernels/backend.h"

namespace mneme::engine {

// Whether the device that the run asks for has memory of its own: a CUDA device.
bool device_has_memory(const RunConfig& run);

// The backend that the run asks for. With auto, the CUDA device when there is one, else the CPU and
// a line of log that says why. Throws Error when what is asked for is not there.
std::unique_ptr<kernels::Backend> make_backend(const RunConfig& run);

// For people: "cpu (2 threads, AVX-512), products by mneme 0.1.0, AVX-512 kernels".
inline std::string describe(const kernels::Backend& backend) {
  return backend.name() + ", products by " + backend.product_library();
}

}  // namespace mneme::engine
