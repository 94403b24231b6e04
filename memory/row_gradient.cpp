#include "memory/row_gradient.h"

#include "io/check.h"

namespace mneme::memory {

StepGradient::StepGradient(kernels::Backend& backend, const RowGradientShape& shape)
    : backend_(&backend),
      shape_(shape),
      lookups_(backend, {.tokens = shape.tokens,
                         .lookups_per_token = shape.lookups_per_token,
                         .table_rows = shape.table_rows,
                         .token_order = false}),
      rows_(backend, shape.tokens * shape.lookups_per_token),
      weights_(backend, shape.tokens * shape.lookups_per_token),
      d_y_(backend, shape.tokens * shape.width) {}

void StepGradient::clear() {
  tokens_ = 0;
}

void StepGradient::keep(kernels::Stream& stream, const LookupSet& set, const float* weights,
                        const float* d_y) {
  CHECK(tokens_ + set.tokens() <= shape_.tokens,
        "the step keeps gradients of {} tokens, but the table was made for {}",
        tokens_ + set.tokens(), shape_.tokens);
  CHECK(set.grouped().lookups_per_token == shape_.lookups_per_token);
  const std::int64_t first = tokens_ * shape_.lookups_per_token;
  backend_->copy(stream, rows_.data() + first, set.grouped().rows,
                 kernels::DeviceArray<kernels::RowId>::bytes(set.lookups()));
  backend_->copy(stream, weights_.data() + first, weights,
                 kernels::DeviceArray<float>::bytes(set.lookups()));
  backend_->copy(stream, d_y_.data() + tokens_ * shape_.width, d_y,
                 kernels::DeviceArray<float>::bytes(set.tokens() * shape_.width));
  tokens_ += set.tokens();
}

void StepGradient::group(kernels::Stream& stream) {
  lookups_.group(stream, rows_.data(), tokens_);
}

kernels::RowGradient StepGradient::gradient() const {
  kernels::RowGradient gradient;
  gradient.grouped = lookups_.grouped();
  gradient.parts[0] = {
      .factors = weights_.data(),
      .vectors = d_y_.data(),
      .columns = kernels::ColumnRange::all(static_cast<std::uint32_t>(shape_.width))};
  return gradient;
}

std::vector<float> StepGradient::dense(kernels::Stream& stream, std::uint64_t rows) const {
  const std::int64_t lookups = tokens_ * shape_.lookups_per_token;
  const auto host_rows = kernels::pinned_array<kernels::RowId>(*backend_, lookups);
  const auto host_weights = kernels::pinned_array<float>(*backend_, lookups);
  const auto host_d_y = kernels::pinned_array<float>(*backend_, tokens_ * shape_.width);
  backend_->copy(stream, host_rows.data(), rows_.data(),
                 kernels::DeviceArray<kernels::RowId>::bytes(lookups));
  backend_->copy(stream, host_weights.data(), weights_.data(),
                 kernels::DeviceArray<float>::bytes(lookups));
  backend_->copy(stream, host_d_y.data(), d_y_.data(),
                 kernels::DeviceArray<float>::bytes(host_d_y.count()));
  stream.synchronize();
  const auto width = static_cast<std::size_t>(shape_.width);
  std::vector<double> sums(rows * width);
  for (std::int64_t lookup = 0; lookup < lookups; ++lookup) {
    const float* d_y = host_d_y.data() + lookup / shape_.lookups_per_token * shape_.width;
    double* sum = sums.data() + host_rows.data()[lookup] * width;
    const double weight = host_weights.data()[lookup];
    for (std::size_t column = 0; column < width; ++column) sum[column] += weight * d_y[column];
  }
  return {sums.begin(), sums.end()};
}

}  // namespace mneme::memory
