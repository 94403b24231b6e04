// Thrust's algorithms on the threads of the calling stream: its TBB system runs in the current
// task arena.
#pragma once

#ifndef THRUST_DEVICE_SYSTEM
#define THRUST_DEVICE_SYSTEM THRUST_DEVICE_SYSTEM_TBB
#endif
#include <thrust/system/tbb/execution_policy.h>

#include "kernels/algorithms.h"

namespace mneme::kernels::cpu {
inline constexpr auto& kPolicy = thrust::tbb::par;
}
