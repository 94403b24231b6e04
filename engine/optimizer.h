// Dense AdamW over all parameters of a model, with clipping by their own global norm. The rows of
// the value table have their own optimiser and their own norm (memory/row_optimizer.h).
#pragma once

#include <cstdint>

#include "engine/parameters.h"
#include "memory/row_optimizer.h"

namespace mneme::engine {

struct DenseOptimizerOptions {
  memory::Schedule learning_rate;
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.1;
  double clip_norm = 1.0;  // 0 for none
};

class DenseOptimizer {
 public:
  // backend and parameters must outlive the optimiser.
  DenseOptimizer(kernels::Backend& backend, Parameters& parameters,
                 const DenseOptimizerOptions& options);

  // Queues step `step` (1 for the first): norm of the gradients, clipping, AdamW. Gradients keep
  // their values. When the norm is not finite, the gradients count as zero in this step.
  void step(kernels::Stream& stream, std::uint64_t step);
  // The last step's gradient norm before clipping. Valid once the stream has been synchronised.
  double gradient_norm() const;

 private:
  kernels::Backend& backend_;
  Parameters& parameters_;
  DenseOptimizerOptions options_;
  kernels::Buffer square_sum_;   // device, one double
  kernels::Buffer scale_;        // device, one float
  kernels::Buffer square_host_;  // pinned, one double
};

}  // namespace mneme::engine
