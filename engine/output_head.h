// The end of the model: output projection and cross-entropy over chunks of positions, so that the
// logits of a large vocabulary never exist at once and their gradient takes the logits' place.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/backend.h"

namespace mneme::engine {

struct OutputHeadOptions {
  std::int64_t width = 0;
  std::int64_t vocabulary = 0;
  std::int64_t tokens = 0;       // the most of one call
  const void* weight = nullptr;  // device, [vocabulary, width], in the backend's compute type
  float* gradient = nullptr;     // device, [vocabulary, width], accumulated
  // Logits that may exist at once: 512 MiB. Each further chunk reads and writes the whole gradient
  // of the table once more.
  std::int64_t chunk_floats = std::int64_t{1} << 27;
};

class OutputHead {
 public:
  OutputHead(kernels::Backend& backend, const OutputHeadOptions& options);

  // losses[t] = negative log-likelihood of targets[t]. x: [tokens, width] in the backend's compute
  // type, here and below; losses: [tokens].
  void loss(kernels::Stream& stream, const void* x, const std::int32_t* targets,
            std::int64_t tokens, float* losses);
  // The same, with the gradients of d_scale * (sum of the losses): d_x [tokens, width] overwritten,
  // the weight's accumulated.
  void loss_and_gradient(kernels::Stream& stream, const void* x, const std::int32_t* targets,
                         std::int64_t tokens, float d_scale, float* losses, float* d_x);
  // out = logits of x, in host memory. x: [rows, width], out: [rows, vocabulary]. Synchronises.
  void logits(kernels::Stream& stream, const void* x, std::int64_t rows, std::span<float> out);

 private:
  void project(kernels::Stream& stream, const void* x, std::int64_t rows);
  // Row `row` of x.
  const void* row_of(const void* x, std::int64_t row) const;

  kernels::Backend& backend_;
  OutputHeadOptions options_;
  kernels::FloatType type_;        // the backend's compute type
  std::int64_t chunk_rows_ = 0;    // positions whose logits exist at once
  std::int64_t staging_rows_ = 0;  // rows of logits that are copied to the host at once
  kernels::Buffer chunk_;          // device, [chunk_rows, vocabulary]
  kernels::Buffer staging_;        // pinned, [staging_rows, vocabulary]
};

}  // namespace mneme::engine
