// The table of turns that rotary embedding reads, kept from one operation to the next: a model asks
// for one table, in every block, forward and backward.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device_arena.h"

namespace mneme::kernels::cuda {

// What a table holds: (cosine, sine) of the turn of pair i at position first_position + t, for
// every t below `positions` and i below `pairs`.
struct Turns {
  std::int64_t positions = 0, pairs = 0;
  std::int64_t first_position = 0;
  double theta = 0;
};

// Memory for the table of one stream, and what is in it. It grows and is kept. Used by the thread
// that queues.
class TurnTable {
 public:
  explicit TurnTable(DeviceArena& arena) : arena_(arena) {}
  // REQUIRES: the stream is idle.
  ~TurnTable();
  TurnTable(const TurnTable&) = delete;
  TurnTable& operator=(const TurnTable&) = delete;

  // Whether these turns are in it: a table of more positions has those of fewer.
  bool holds(const Turns& turns) const;
  // Room for them; the stream's next work fills it. Waits for the stream where it has to grow.
  float2* fill(const Turns& turns, cudaStream_t stream);
  // [positions, pairs]
  const float2* data() const { return data_; }

 private:
  void release();

  DeviceArena& arena_;
  float2* data_ = nullptr;
  std::size_t bytes_ = 0;
  Turns turns_;
};

}  // namespace mneme::kernels::cuda
