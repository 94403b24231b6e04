// The shape of a model, and the parameters that it follows from it.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/block_kinds.h"
#include "engine/parameters.h"
#include "memory/table_layer.h"

namespace mneme::engine {

// Mixtures of experts.
struct MoeOptions {
  std::int64_t experts = 8;
  std::int64_t hidden = 0;  // of each expert; 0 for feed_forward_hidden
  kernels::Routing routing = kernels::Routing::kTopOne;  // in training
  double balance_loss = 0;  // weight of the loss that spreads tokens over the experts
};

struct ModelOptions {
  std::int64_t vocabulary = 0;
  std::int64_t width = 0;  // C
  std::int64_t blocks = 0;
  std::int64_t attention_heads = 0;  // each of width C / attention_heads, which must be even
  std::int64_t kv_heads = 0;         // divides attention_heads
  std::int64_t feed_forward_hidden = 0;
  double rope_theta = 10000;
  double norm_epsilon = 1e-5;
  bool tied_output = false;
  // What replaces the feed-forward. The layers of table_blocks() share one value table.
  BlockKinds feed_forward;
  // Of every memory and PEER layer. width and tokens are set by the model; value_width 0 means
  // width.
  memory::TableLayerOptions memory;
  MoeOptions moe;
  // The largest micro-batch, for which buffers are allocated.
  std::int64_t batch = 0;     // sequences
  std::int64_t sequence = 0;  // tokens of one sequence

  std::int64_t tokens() const { return batch * sequence; }
  std::int64_t head_width() const { return width / attention_heads; }
  std::int64_t kv_width() const { return head_width() * kv_heads; }
  std::vector<std::int64_t> table_blocks() const { return feed_forward.table_blocks(); }
};

// Fills in what follows from other options and checks the rest. Throws Error naming the option.
ModelOptions resolve(ModelOptions options);

// Every dense parameter of a model, Linear weights as [out, in]. Initial values: SPEC.md for memory
// layers; embeddings and the output head N(0, C^-1/2); other Linears N(0, in^-1/2), those that
// write into the residual stream (wo, w2) divided by sqrt(2 * blocks) so that the stream's variance
// does not grow with depth; norm gains one.
std::vector<ParameterDeclaration> declare_parameters(const ModelOptions& options);

}  // namespace mneme::engine
