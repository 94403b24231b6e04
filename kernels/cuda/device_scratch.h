// Scratch memory of one stream: bump allocation that is taken back when the next operation is
// queued. The device runs a stream's operations in order, so two of them may share the memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cuda/device_arena.h"

namespace mneme::kernels::cuda {

// Grows to what the largest operation needed and keeps it. Used by the thread that queues.
class DeviceScratch {
 public:
  explicit DeviceScratch(DeviceArena& arena) : arena_(arena) {}
  ~DeviceScratch();
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;

  // Device memory, aligned to DeviceArena::kAlignment, contents undefined. Earlier results of the
  // same operation stay valid.
  void* take_bytes(std::size_t bytes);
  // Whether operations put guard zones around what they take (scratch_guards.h).
  bool guarded() const { return arena_.guarded(); }
  // Everything is taken back. Memory stays where it is: queued operations still use it.
  void reset();
  // Merges the blocks into one. REQUIRES: the stream is idle.
  void merge();

 private:
  struct Block {
    std::byte* data;
    std::size_t bytes;
  };
  DeviceArena& arena_;
  std::vector<Block> blocks_;  // each larger than the ones before together
  std::size_t used_ = 0;       // of the last block
};

}  // namespace mneme::kernels::cuda
