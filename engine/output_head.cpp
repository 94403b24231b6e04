#include "engine/output_head.h"

#include <algorithm>
#include <cstring>

#include "io/check.h"
#include "kernels/linear.h"

namespace mneme::engine {
namespace {

constexpr std::int64_t kLogitStagingFloats = std::int64_t{1} << 20;  // 4 MiB

}  // namespace

OutputHead::OutputHead(kernels::Backend& backend, const OutputHeadOptions& options)
    : backend_(backend),
      options_(options),
      type_(backend.compute_type()),
      chunk_rows_(
          std::clamp<std::int64_t>(options.chunk_floats / options.vocabulary, 1, options.tokens)),
      staging_rows_(
          std::clamp<std::int64_t>(kLogitStagingFloats / options.vocabulary, 1, chunk_rows_)) {
  const std::size_t row_bytes = static_cast<std::size_t>(options.vocabulary) * sizeof(float);
  chunk_ = backend.allocate(static_cast<std::size_t>(chunk_rows_) * row_bytes,
                            kernels::MemoryKind::kDevice);
  staging_ = backend.allocate(static_cast<std::size_t>(staging_rows_) * row_bytes,
                              kernels::MemoryKind::kPinnedHost);
}

const void* OutputHead::row_of(const void* x, std::int64_t row) const {
  return static_cast<const std::byte*>(x) +
         static_cast<std::size_t>(row * options_.width) * kernels::float_type_bytes(type_);
}

void OutputHead::project(kernels::Stream& stream, const void* x, std::int64_t rows) {
  linear(backend_, stream, {rows, options_.width, options_.vocabulary}, x, options_.weight,
         {.data = chunk_.as<float>()});
}

void OutputHead::loss(kernels::Stream& stream, const void* x, const std::int32_t* targets,
                      std::int64_t tokens, float* losses) {
  for (std::int64_t first = 0; first < tokens; first += chunk_rows_) {
    const std::int64_t rows = std::min(chunk_rows_, tokens - first);
    project(stream, row_of(x, first), rows);
    backend_.cross_entropy(stream, {.logits = chunk_.as<float>(),
                                    .targets = targets + first,
                                    .losses = losses + first,
                                    .rows = rows,
                                    .vocabulary = options_.vocabulary});
  }
}

void OutputHead::loss_and_gradient(kernels::Stream& stream, const void* x,
                                   const std::int32_t* targets, std::int64_t tokens, float d_scale,
                                   float* losses, float* d_x) {
  for (std::int64_t first = 0; first < tokens; first += chunk_rows_) {
    const std::int64_t rows = std::min(chunk_rows_, tokens - first);
    // A narrower gradient lies at the start of each row of logits.
    const std::int64_t stride =
        options_.vocabulary *
        static_cast<std::int64_t>(sizeof(float) / kernels::float_type_bytes(type_));
    const kernels::LinearShape shape{rows, options_.width, options_.vocabulary, stride};
    const void* x_rows = row_of(x, first);
    project(stream, x_rows, rows);
    backend_.cross_entropy(stream, {.logits = chunk_.as<float>(),
                                    .gradient_type = type_,
                                    .targets = targets + first,
                                    .losses = losses + first,
                                    .rows = rows,
                                    .vocabulary = options_.vocabulary,
                                    .d_scale = d_scale});
    linear_weight_gradient(backend_, stream, shape, chunk_.as<float>(), x_rows, options_.gradient);
    linear_input_gradient(backend_, stream, shape, chunk_.as<float>(), options_.weight,
                          {.data = d_x + first * options_.width});
  }
}

void OutputHead::logits(kernels::Stream& stream, const void* x, std::int64_t rows,
                        std::span<float> out) {
  CHECK(static_cast<std::int64_t>(out.size()) == rows * options_.vocabulary);
  for (std::int64_t first = 0; first < rows; first += staging_rows_) {
    const std::int64_t count = std::min(staging_rows_, rows - first);
    const std::size_t bytes = static_cast<std::size_t>(count * options_.vocabulary) * sizeof(float);
    project(stream, row_of(x, first), count);
    backend_.copy(stream, staging_.as<float>(), chunk_.as<float>(), bytes);
    stream.synchronize();
    std::memcpy(out.data() + first * options_.vocabulary, staging_.as<float>(), bytes);
  }
}

}  // namespace mneme::engine
