// The transformer of SPEC.md: embedding, pre-norm blocks, final norm, output head, cross-entropy;
// forward and hand-written backward over Backend operations. The model owns its dense parameters
// and activations; the value table of its memory layers belongs to the caller.
//
// Use within a training step t (one caller thread, one stream):
//   table.begin_step(t); model.begin_step(stream);
//   for each micro-batch: model.forward_backward(stream, micro_batch, 1.0 / micro_batches);
//   optimizer.step(stream, t); table.finish_step(stream); model.take_loss(stream);
// Evaluation and sampling between steps: table.begin_evaluation(t), then evaluate or logits.
//
// Activations that only matrix products, attention and gates read, and a copy of the weights, have
// the backend's compute type; the residual stream, its gradient, parameters and their gradients are
// float32.
//
// Device memory: 4 floats a parameter, and the copy of the weights; for backward, nothing is
// recomputed, so a token keeps in each block 2C + attention_heads + 2 floats and, in the compute
// type, 4C + 2*kv_width, and 3*feed_forward_hidden in a feed-forward (a memory layer keeps its
// own); shared by the blocks 4C and the largest part's scratch; and one chunk of logits of at most
// 16Mi floats, over which head and loss run for any vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/blocks.h"
#include "engine/forward_observer.h"
#include "engine/model_options.h"
#include "engine/parameters.h"
#include "memory/table_layer.h"
#include "memory/value_table.h"

namespace mneme::engine {

// Token ids of `batch` sequences of one length and what belongs to them, in host memory; copied
// before a call returns.
struct MicroBatch {
  std::span<const std::int32_t> tokens;        // [batch, sequence], each in [0, vocabulary)
  std::span<const std::int32_t> targets = {};  // [batch, sequence]: the token that follows
  // [batch, sequence]: the first position of its sequence that each position attends to, at most
  // its own, ascending along a sequence: where its document begins. Empty: 0 for all.
  std::span<const std::int32_t> first_keys = {};
  std::int64_t batch = 0;     // batch * sequence <= options().tokens()
  std::int64_t sequence = 0;  // <= options().sequence
};

// Events between the passes of a micro-batch, or null.
struct PassMarks {
  kernels::Event* forward_done = nullptr;
  kernels::Event* backward_begins = nullptr;
};

class Model {
 public:
  // table: null exactly when there are no memory blocks; its width, rows and lookups per token must
  // fit the options. Parameters are zero until initialised or written. Throws Error for options
  // that make no model. backend and table must outlive the model.
  Model(kernels::Backend& backend, const ModelOptions& options, memory::ValueTable* table);
  ~Model();

  const ModelOptions& options() const;
  Parameters& parameters();
  const Parameters& parameters() const;

  // Gradients become zero.
  void begin_step(kernels::Stream& stream);
  // Adds scale * (gradient of the mean loss over the micro-batch's positions) to the gradients, in
  // the parameters and, in factored form, in the table. Throws Error for a token outside the
  // vocabulary. `marks`, where given, are recorded between forward and backward, before and behind
  // what `observer`, which sees the forward pass, does there.
  void forward_backward(kernels::Stream& stream, const MicroBatch& micro_batch, double scale,
                        const PassMarks& marks = {}, ForwardObserver* observer = nullptr);
  // The mean, over the micro-batches since the last call, of their mean losses, in nats.
  // Synchronises the stream. REQUIRES: there was one.
  double take_loss(kernels::Stream& stream);

  // Of each mixture of experts, over the micro-batches of forward_backward() since the last call.
  std::vector<ExpertCounts> take_expert_counts();

  // The mean loss over the micro-batch's positions, in nats; no gradients. `losses`, when not
  // empty, gets each position's loss, [batch, sequence]. Synchronises the stream.
  double evaluate(kernels::Stream& stream, const MicroBatch& micro_batch,
                  std::span<float> losses = {});
  // Logits of the last `positions` positions of each sequence, [batch, positions, vocabulary], in
  // host memory. Targets are not read. Synchronises the stream.
  void logits(kernels::Stream& stream, const MicroBatch& micro_batch, std::int64_t positions,
              std::span<float> out);

  // The memory layer of a block, for its rows, weights and scores; null for other blocks.
  const memory::TableLayer* table_layer(std::int64_t block) const;
  // What finds its rows. REQUIRES: the block has one.
  memory::KeySide key_side(std::int64_t block) const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace mneme::engine
