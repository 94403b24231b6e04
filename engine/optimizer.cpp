#include "engine/optimizer.h"

#include <cmath>

#include "io/check.h"

namespace mneme::engine {

DenseOptimizer::DenseOptimizer(kernels::Backend& backend, Parameters& parameters,
                               const DenseOptimizerOptions& options)
    : backend_(backend),
      parameters_(parameters),
      options_(options),
      square_sum_(backend.allocate(sizeof(double), kernels::MemoryKind::kDevice)),
      scale_(backend.allocate(sizeof(float), kernels::MemoryKind::kDevice)),
      square_host_(backend.allocate(sizeof(double), kernels::MemoryKind::kPinnedHost)) {
  CHECK(options_.learning_rate != nullptr);
}

void DenseOptimizer::step(kernels::Stream& stream, std::uint64_t step) {
  CHECK(step >= 1);
  float* gradients = parameters_.data(ParameterBuffer::kGradients);
  backend_.sum_of_squares(stream, gradients, parameters_.size(), square_sum_.as<double>());
  backend_.clip_scale(stream, {.square_sums = square_sum_.as<double>(),
                               .limit = static_cast<float>(options_.clip_norm),
                               .scale = scale_.as<float>()});
  backend_.copy(stream, square_host_.as<double>(), square_sum_.as<double>(), sizeof(double));

  parameters_.values_changed();
  const double rate = options_.learning_rate(step);
  for (const ParameterRange& range : parameters_.ranges()) {
    const double decay = range.decays ? options_.weight_decay : 0.0;
    backend_.adamw(stream, {.parameters = parameters_.data(ParameterBuffer::kValues) + range.offset,
                            .gradients = gradients + range.offset,
                            .moment1 = parameters_.data(ParameterBuffer::kMoment1) + range.offset,
                            .moment2 = parameters_.data(ParameterBuffer::kMoment2) + range.offset,
                            .count = range.count,
                            .step = step,
                            .learning_rate = static_cast<float>(rate),
                            .beta1 = static_cast<float>(options_.beta1),
                            .beta2 = static_cast<float>(options_.beta2),
                            .epsilon = static_cast<float>(options_.epsilon),
                            .weight_decay = static_cast<float>(decay),
                            .grad_scale = scale_.as<float>()});
  }
}

double DenseOptimizer::gradient_norm() const {
  return std::sqrt(*square_host_.as<double>());
}

}  // namespace mneme::engine
