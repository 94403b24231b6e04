#include "kernels/cuda/turn_table.h"

#include "kernels/cuda/cuda_check.h"

namespace mneme::kernels::cuda {

TurnTable::~TurnTable() {
  release();
}

bool TurnTable::holds(const Turns& turns) const {
  return turns.positions <= turns_.positions && turns.pairs == turns_.pairs &&
         turns.first_position == turns_.first_position && turns.theta == turns_.theta;
}

float2* TurnTable::fill(const Turns& turns, cudaStream_t stream) {
  const auto bytes = static_cast<std::size_t>(turns.positions * turns.pairs) * sizeof(float2);
  if (bytes > bytes_) {
    // Queued work may still read the old one.
    if (data_ != nullptr)
      check_cuda(cudaStreamSynchronize(stream), "waiting for a table's readers");
    release();
    data_ = static_cast<float2*>(arena_.allocate(bytes, "turns of rotary embedding"));
    bytes_ = bytes;
  }
  turns_ = turns;
  return data_;
}

void TurnTable::release() {
  if (data_ != nullptr) arena_.release(data_, bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace mneme::kernels::cuda
