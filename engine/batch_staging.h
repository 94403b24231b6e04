// The way of token ids to the device and of losses back, through pinned memory: a small ring of
// slots lets several micro-batches be queued before the host has to wait for the device.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/backend.h"

namespace mneme::engine {

// Of a micro-batch, in host memory.
struct BatchIds {
  std::span<const std::int32_t> tokens;
  std::span<const std::int32_t> targets = {};     // of each token, or empty
  std::span<const std::int32_t> first_keys = {};  // likewise (MicroBatch::first_keys)
};

class BatchStaging {
 public:
  // tokens: the most of one micro-batch.
  BatchStaging(kernels::Backend& backend, std::int64_t tokens, std::int64_t vocabulary);

  // Queues the copies of a micro-batch's ids to the device. Throws Error for a token or target
  // outside the vocabulary. Waits for the device when all slots are taken.
  void stage(kernels::Stream& stream, const BatchIds& ids);
  const std::int32_t* tokens() const { return device_tokens_; }    // device, [tokens]
  const std::int32_t* targets() const { return device_targets_; }  // device, [tokens]
  // Device, [tokens]; null where the staged micro-batch has none.
  const std::int32_t* first_keys() const {
    return has_first_keys_ ? device_targets_ + capacity_ : nullptr;
  }
  // Device, [tokens]: the losses of the staged micro-batch's positions go here.
  float* losses() const { return device_losses_.as<float>(); }

  // Queues the sum of the staged micro-batch's losses; its slot is taken until the sum was
  // collected.
  void queue_loss(kernels::Stream& stream);
  // The mean over the micro-batches since the last call of their mean losses. Waits for the device.
  // REQUIRES: there was one.
  double take_loss(kernels::Stream& stream);
  // The mean loss of the staged micro-batch, at once and not counted by take_loss; with `out` not
  // empty also each position's. Waits for the device.
  double read_loss(kernels::Stream& stream, std::span<float> out);

 private:
  static constexpr std::int64_t kSlots = 8;
  static constexpr std::int64_t kLists = 3;  // tokens, targets, first keys

  void queue_sum(kernels::Stream& stream);
  void collect(kernels::Stream& stream);

  kernels::Backend& backend_;
  std::int64_t capacity_, vocabulary_;
  kernels::Buffer device_ids_, device_losses_, device_sum_;
  kernels::Buffer host_ids_;     // pinned, [slots, kLists, capacity]
  kernels::Buffer host_sums_;    // pinned, [slots] doubles
  kernels::Buffer host_losses_;  // pinned, [capacity]
  std::int32_t* device_tokens_;
  std::int32_t* device_targets_;

  std::int64_t staged_ = 0;  // tokens of the staged micro-batch
  bool has_first_keys_ = false;
  std::int64_t pending_ = 0;  // slots whose sums were queued and not collected
  std::int64_t slot_tokens_[kSlots] = {};
  double loss_sum_ = 0;  // of collected micro-batches' means
  std::int64_t loss_count_ = 0;
};

}  // namespace mneme::engine
