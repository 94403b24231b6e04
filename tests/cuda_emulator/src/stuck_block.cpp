// What is said about a block in which no thread can run any more.
#include <bit>
#include <cstdio>
#include <string>

#include <emulator/language.h>
#include "tests/cuda_emulator/src/block_runner.h"
#include "tests/cuda_emulator/src/report.h"

namespace emulator {
namespace {

void append_hexadecimal(std::string& text, unsigned value) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "0x%08x", value);
  text += digits;
}

}  // namespace

void BlockRunner::die_stuck() const {
  std::string text = "block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) +
                     ", " + std::to_string(blockIdx.z) + ") of " + std::to_string(thread_count_) +
                     " threads is stuck: " + std::to_string(exited_) + " threads have exited, " +
                     std::to_string(barrier_arrived_) + " wait in __syncthreads";
  for (unsigned i = 0; i < warp_count_; ++i) {
    const Warp& warp = warps_[i];
    if (warp.at_barrier != 0) {
      text += "\n  threads " + std::to_string(i * kWarpLanes) + " + lanes ";
      append_hexadecimal(text, warp.at_barrier);
      text += " wait in __syncthreads";
    }
    for (unsigned left = warp.in_collective; left != 0; left &= left - 1) {
      const int lane = std::countr_zero(left);
      const unsigned mask = warp.masks[lane];
      text += "\n  thread " + std::to_string(i * kWarpLanes + lane) + " waits in " +
              warp.operations[lane]->name + " with mask ";
      append_hexadecimal(text, mask);
      text += " for lanes ";
      append_hexadecimal(text, mask & ~warp.in_collective & ~warp.exited);
    }
  }
  die("%s", text.c_str());
}

}  // namespace emulator
