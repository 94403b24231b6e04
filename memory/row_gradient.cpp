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
      type_(backend.compute_type()),
      d_y_(backend, shape.tokens * std::int64_t{shape.columns.count}, type_) {}

std::uint64_t StepGradient::bytes_per_token(std::int64_t lookups_per_token, std::int64_t columns) {
  // Row, weight, distinct row, offset, order and index among the distinct rows; twice a sorted key.
  constexpr std::uint64_t kOfLookup = 6 * 4 + 2 * 4;
  return static_cast<std::uint64_t>(lookups_per_token) * kOfLookup +
         static_cast<std::uint64_t>(columns) * sizeof(float);
}

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
  const std::int64_t count = set.tokens() * width();
  auto* const target =
      static_cast<std::byte*>(d_y_.data()) +
      static_cast<std::size_t>(tokens_ * width()) * kernels::float_type_bytes(type_);
  if (type_ == kernels::FloatType::kF32) {
    backend_->copy(stream, target, d_y, kernels::DeviceArray<float>::bytes(count));
  } else {
    backend_->convert(stream,
                      {.source = d_y, .target = target, .target_type = type_, .count = count});
  }
  tokens_ += set.tokens();
}

void StepGradient::group(kernels::Stream& stream) {
  lookups_.group(stream, rows_.data(), tokens_);
}

kernels::RowGradient StepGradient::gradient() const {
  kernels::RowGradient gradient;
  gradient.grouped = lookups_.grouped();
  gradient.parts[0] = {
      .factors = weights_.data(), .vectors = d_y_.data(), .type = type_, .columns = shape_.columns};
  return gradient;
}

std::vector<float> StepGradient::dense(kernels::Stream& stream, std::uint64_t rows) const {
  const std::int64_t lookups = tokens_ * shape_.lookups_per_token;
  const auto host_rows = kernels::pinned_array<kernels::RowId>(*backend_, lookups);
  const auto host_weights = kernels::pinned_array<float>(*backend_, lookups);
  const std::int64_t numbers = tokens_ * width();
  const kernels::DeviceArray<float> d_y(*backend_, numbers);
  const auto host_d_y = kernels::pinned_array<float>(*backend_, numbers);
  backend_->copy(stream, host_rows.data(), rows_.data(),
                 kernels::DeviceArray<kernels::RowId>::bytes(lookups));
  backend_->copy(stream, host_weights.data(), weights_.data(),
                 kernels::DeviceArray<float>::bytes(lookups));
  backend_->convert(
      stream,
      {.source = d_y_.data(), .target = d_y.data(), .source_type = type_, .count = numbers});
  backend_->copy(stream, host_d_y.data(), d_y.data(), kernels::DeviceArray<float>::bytes(numbers));
  stream.synchronize();
  const auto columns = static_cast<std::size_t>(width());
  std::vector<double> sums(rows * columns);
  for (std::int64_t lookup = 0; lookup < lookups; ++lookup) {
    const float* vector = host_d_y.data() + lookup / shape_.lookups_per_token * width();
    double* sum = sums.data() + host_rows.data()[lookup] * columns;
    const double weight = host_weights.data()[lookup];
    for (std::size_t column = 0; column < columns; ++column) sum[column] += weight * vector[column];
  }
  return {sums.begin(), sums.end()};
}

}  // namespace mneme::memory
