// The seam through which others see a model's forward pass in training, block by block, while it is
// being queued.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "memory/table_layer.h"

namespace mneme::engine {

class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  // Branch `branch` of the blocks comes next: the attention of block branch / 2, or what follows
  // it. state: device, [tokens, C], float32: the residual stream, as work that is queued on the
  // stream leaves it; it stays until the next forward pass.
  virtual void before_branch(std::size_t branch, const float* state, kernels::Stream& stream) = 0;
  // The forward pass of a block's memory layer is queued on the stream; what is queued there now
  // sees its rows.
  virtual void after_memory(std::int64_t block, const memory::TableLayer& layer,
                            kernels::Stream& stream) = 0;
  // All blocks' is, and nothing of the backward pass.
  virtual void after_forward() = 0;
};

// Several of them, as one.
class ForwardObservers final : public ForwardObserver {
 public:
  // It must outlive this.
  void add(ForwardObserver& observer) { observers_.push_back(&observer); }

  void before_branch(std::size_t branch, const float* state, kernels::Stream& stream) override {
    for (ForwardObserver* one : observers_) one->before_branch(branch, state, stream);
  }
  void after_memory(std::int64_t block, const memory::TableLayer& layer,
                    kernels::Stream& stream) override {
    for (ForwardObserver* one : observers_) one->after_memory(block, layer, stream);
  }
  void after_forward() override {
    for (ForwardObserver* one : observers_) one->after_forward();
  }

 private:
  std::vector<ForwardObserver*> observers_;
};

}  // namespace mneme::engine
