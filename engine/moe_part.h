// A mixture of experts as a part of a block (SPEC.md, "The transformer around it"): a router gives
// each token probabilities over the experts, each a feed-forward, and the chosen expert's output is
// scaled by its probability. No token is dropped: an expert works on all that are sent to it, and
// they are sorted by expert, so that each expert's products have dense operands.
//
//   p        = softmax(x Wr)                                 [tokens, experts]
//   out[t]  += sum over t's experts e of p[t, e] * (silu(x W1_e) * (x W3_e)) W2_e
//
// routing, in training (an evaluation sends each token to its most probable expert, always):
//   top-1           as there
//   expert-choice   each expert takes tokens / experts of the tokens, those that it is most
//   probable
//                   for: equal work for all, and a token may have several experts, or none. What a
//                   token gets depends on the tokens beside it, later ones included, so that the
//                   loss in training is of another model than that in evaluation
//
// Balance loss (top-1): balance_loss * experts * sum over e of (share of the tokens sent to e) *
// (mean of p[., e]), added to the loss of a micro-batch; the shares carry no gradient.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/block_part.h"
#include "engine/model_options.h"
#include "kernels/device_array.h"

namespace mneme::engine {

class MoePart : public BlockPart {
 public:
  // prefix: "layers.N.moe"; parameters prefix + ".router.weight", ".experts.E.w1.weight" and so on.
  MoePart(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
          const std::string& prefix);

  std::size_t scratch_bytes() const override;
  // Blocks the caller until it is known how many tokens go to each expert.
  void forward(const PartCall& call, const void* x, float* out) override;
  void backward(const PartCall& call, const float* d_out, float* d_x) override;

  // Tokens that each expert has worked on in training since the last call.
  std::vector<std::uint64_t> take_counts();

 private:
  struct Expert {
    const void *w1, *w2, *w3;
    float *d_w1, *d_w2, *d_w3;
  };
  void route(const PartCall& call, const void* x);
  kernels::CombineExpertsArgs combination() const;
  // A product for each expert, of its rows: `make(expert, first row, rows)`.
  template <typename Make>
  void multiply(kernels::Stream& stream, const Make& make);
  // Row `first` of an array of rows.
  void* row(const kernels::FloatArray& array, std::int64_t first, std::int64_t width) const;
  void* row(void* array, std::int64_t first, std::int64_t width, kernels::FloatType type) const;

  kernels::Backend& backend_;
  MoeOptions options_;
  std::int64_t tokens_, width_, hidden_;
  std::int64_t most_assignments_;
  kernels::FloatType type_;  // of activations
  const void* router_;
  float* d_router_;
  std::vector<Expert> experts_;

  // Kept for backward. Assignments are ordered by expert (kernels/expert_ops.h).
  kernels::DeviceArray<float> probabilities_;         // [tokens, experts]
  kernels::DeviceArray<std::int32_t> places_;         // [tokens, experts]
  kernels::DeviceArray<std::uint32_t> tokens_of_;     // [assignments]
  kernels::DeviceArray<std::uint32_t> offsets_;       // [experts + 1]
  kernels::DeviceArray<std::uint32_t> host_offsets_;  // the same, pinned host
  kernels::FloatArray inputs_;                        // [assignments, C]
  kernels::FloatArray gate_, value_, product_;        // [assignments, hidden]
  kernels::FloatArray outputs_;                       // [assignments, C]
  std::unique_ptr<kernels::Event> routed_;            // host_offsets_ are there
  kernels::RouteTokensArgs routing_;                  // of the last forward
  const void* x_ = nullptr;

  std::vector<std::uint64_t> counts_;
};

// Declares the parameters of a mixture, named prefix + ".router.weight" and so on. residual: scales
// the initial values of what writes into the residual stream.
std::vector<ParameterDeclaration> declare_moe_parameters(const ModelOptions& options,
                                                         const std::string& prefix,
                                                         double residual);

}  // namespace mneme::engine
