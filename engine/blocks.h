// The blocks of a transformer, or the first of them: each is two branches, attention and what comes
// in the feed-forward's place, that enter the residual stream in the same way, h <- h +
// part(norm(h)). Parameters belong to the caller; the stream before every branch and what backward
// needs are kept here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/block_part.h"
#include "engine/expert_counts.h"
#include "engine/forward_observer.h"
#include "engine/model_options.h"
#include "engine/parameters.h"
#include "engine/table_part.h"
#include "kernels/backend.h"
#include "memory/value_table.h"

namespace mneme::engine {

class Blocks {
 public:
  // The first `branches` branches, of which branch i belongs to block i / 2. table: of the layers
  // among them that read one; null where there are none. Backend, parameters and table must outlive
  // the object.
  Blocks(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
         memory::ValueTable* table, std::size_t branches);

  std::size_t branches() const { return branches_.size(); }
  static std::size_t all_branches(const ModelOptions& options) {
    return static_cast<std::size_t>(2 * options.blocks);
  }
  // Device, [tokens, C]: the residual stream before branch i, and after the last. The caller fills
  // that before branch 0.
  float* state(std::size_t i) const { return stream_[i]; }
  // A call of these blocks.
  PartCall call(kernels::Stream& stream, std::int64_t batch, std::int64_t sequence) const {
    return {.stream = stream,
            .batch = batch,
            .sequence = sequence,
            .scratch = scratch_.as<std::byte>()};
  }

  void forward(const PartCall& call, ForwardObserver* observer = nullptr);
  // d_stream: device, [tokens, C], of the stream after the last branch; becomes that of the stream
  // before the first. d_branch: device, [tokens, C], scratch.
  void backward(const PartCall& call, float* d_stream, float* d_branch);

  // Of each mixture of experts, since the last call.
  std::vector<ExpertCounts> take_expert_counts();

  // The memory or PEER layer of a block; null where it has none.
  const memory::TableLayer* table_layer(std::int64_t block) const;
  // REQUIRES: it has one.
  memory::KeySide key_side(std::int64_t block) const;

 private:
  struct Branch {
    const float* gain = nullptr;  // [C]
    float* d_gain = nullptr;
    std::unique_ptr<BlockPart> part;
    void* normed = nullptr;    // [tokens, C] in the compute type, kept for the part's backward
    float* inverse = nullptr;  // [tokens]
  };
  // Of a block whose layer reads the table; else null.
  const TablePart* table_part(std::int64_t block) const;
  std::unique_ptr<BlockPart> make_part(const Parameters& parameters, memory::ValueTable* table,
                                       std::int64_t block) const;
  void add_branch(const Parameters& parameters, const std::string& norm,
                  std::unique_ptr<BlockPart> part);
  void allocate();

  kernels::Backend& backend_;
  ModelOptions options_;
  kernels::FloatType type_;  // of activations
  std::vector<Branch> branches_;
  std::vector<kernels::FloatArray> activations_;
  std::vector<float*> stream_;  // [branches + 1] of [tokens, C]
  kernels::Buffer scratch_;     // of all parts
};

}  // namespace mneme::engine
