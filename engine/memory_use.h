// How much of each memory a run takes, as its own constructors allocate it: model, value table and
// their tiers are made on a backend that counts (kernels/sizing_backend.h). Nothing is allocated,
// and no device is needed.
#pragma once

#include <cstdint>

#include "engine/config.h"

namespace mneme::engine {

// Bytes. What operations take while they run (sorts, partial sums) comes on top: it belongs to the
// streams of the backend, and depends on the device.
struct MemoryUse {
  // ---- Of the device; on the CPU backend of host memory.
  std::uint64_t device_tier = 0;   // rows, their moments and the slot table
  std::uint64_t device_table = 0;  // of the table besides: where each row is, the slot table of the
                                   // host tier, the look-ups and the row gradient of a step
  std::uint64_t parameters = 0;    // dense: weights and their copies, gradients, moments
  std::uint64_t activations = 0;   // what backward needs, logits, buffers of the memory layers
  std::uint64_t prediction = 0;    // of tiers.prefetch
  // ---- Of host memory, most of it pinned.
  std::uint64_t host_tier = 0;
  std::uint64_t host_staging = 0;  // of the disk and of transfers, copies for checkpoints, batches
  std::uint64_t host_prediction = 0;  // of tiers.prefetch

  std::uint64_t device() const {
    return device_tier + device_table + parameters + activations + prediction;
  }
  std::uint64_t host() const { return host_tier + host_staging + host_prediction; }
};

// on_cuda: with the compute type of a CUDA device and its alignment. REQUIRES a configuration that
// check_config accepts, with budgets in bytes (tier_choice.h). Throws Error where a tier is below
// its minimum.
MemoryUse memory_use(const Config& config, bool on_cuda);

}  // namespace mneme::engine
