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
      type_(backend.compute_type()) {
  for (int i = 0; i < shape.parts; ++i) {
    parts_.push_back({.factors = {backend, shape.tokens * shape.lookups_per_token},
                      .vectors = {backend, shape.tokens * width(), type_}});
  }
}

std::uint64_t StepGradient::bytes_per_token(std::int64_t lookups_per_token, std::int64_t columns,
                                            int parts) {
  // Row, distinct row, offset, order and index among the distinct rows; twice a sorted key.
  constexpr std::uint64_t kOfLookup = 5 * 4 + 2 * 4;
  const std::uint64_t of_part =
      static_cast<std::uint64_t>(lookups_per_token + columns) * sizeof(float);
  return static_cast<std::uint64_t>(lookups_per_token) * kOfLookup +
         static_cast<std::uint64_t>(parts) * of_part;
}

void StepGradient::clear() {
  tokens_ = 0;
}

void StepGradient::keep(kernels::Stream& stream, const LookupSet& set, const FactoredParts& parts) {
  CHECK(tokens_ + set.tokens() <= shape_.tokens,
        "the step keeps gradients of {} tokens, but the table was made for {}",
        tokens_ + set.tokens(), shape_.tokens);
  CHECK(set.grouped().lookups_per_token == shape_.lookups_per_token);
  backend_->copy(stream, rows_.data() + tokens_ * shape_.lookups_per_token, set.grouped().rows,
                 kernels::DeviceArray<kernels::RowId>::bytes(set.lookups()));
  for (std::size_t i = 0; i < parts_.size(); ++i) keep_part(stream, set, parts[i], parts_[i]);
  tokens_ += set.tokens();
}

void StepGradient::keep_part(kernels::Stream& stream, const LookupSet& set,
                             const FactoredPart& part, const Kept& kept) {
  float* const factors = kept.factors.data() + tokens_ * shape_.lookups_per_token;
  const std::size_t factor_bytes = kernels::DeviceArray<float>::bytes(set.lookups());
  const std::int64_t count = set.tokens() * width();
  const std::size_t element = kernels::float_type_bytes(type_);
  auto* const vectors = static_cast<std::byte*>(kept.vectors.data()) +
                        static_cast<std::size_t>(tokens_ * width()) * element;
  const std::size_t vector_bytes = static_cast<std::size_t>(count) * element;
  if (part.factors == nullptr) {
    backend_->zero(stream, factors, factor_bytes);
    backend_->zero(stream, vectors, vector_bytes);
    return;
  }
  backend_->copy(stream, factors, part.factors, factor_bytes);
  if (type_ == kernels::FloatType::kF32) {
    backend_->copy(stream, vectors, part.vectors, vector_bytes);
  } else {
    backend_->convert(
        stream, {.source = part.vectors, .target = vectors, .target_type = type_, .count = count});
  }
}

void StepGradient::group(kernels::Stream& stream) {
  lookups_.group(stream, rows_.data(), tokens_);
}

kernels::RowGradient StepGradient::gradient() const {
  kernels::RowGradient gradient;
  gradient.grouped = lookups_.grouped();
  gradient.part_count = shape_.parts;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    gradient.parts[i] = {.factors = parts_[i].factors.data(),
                         .vectors = parts_[i].vectors.data(),
                         .type = type_,
                         .columns = shape_.columns};
  }
  return gradient;
}

std::vector<float> StepGradient::dense(kernels::Stream& stream, std::uint64_t rows) const {
  const std::int64_t lookups = tokens_ * shape_.lookups_per_token;
  const auto host_rows = kernels::pinned_array<kernels::RowId>(*backend_, lookups);
  const auto host_factors = kernels::pinned_array<float>(*backend_, lookups);
  const std::int64_t numbers = tokens_ * width();
  const kernels::DeviceArray<float> vectors(*backend_, numbers);
  const auto host_vectors = kernels::pinned_array<float>(*backend_, numbers);
  backend_->copy(stream, host_rows.data(), rows_.data(),
                 kernels::DeviceArray<kernels::RowId>::bytes(lookups));
  const auto columns = static_cast<std::size_t>(width());
  std::vector<double> sums(rows * parts_.size() * columns);
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    backend_->copy(stream, host_factors.data(), parts_[part].factors.data(),
                   kernels::DeviceArray<float>::bytes(lookups));
    backend_->convert(stream, {.source = parts_[part].vectors.data(),
                               .target = vectors.data(),
                               .source_type = type_,
                               .count = numbers});
    backend_->copy(stream, host_vectors.data(), vectors.data(),
                   kernels::DeviceArray<float>::bytes(numbers));
    stream.synchronize();
    for (std::int64_t lookup = 0; lookup < lookups; ++lookup) {
      const float* vector = host_vectors.data() + lookup / shape_.lookups_per_token * width();
      double* sum = sums.data() + (host_rows.data()[lookup] * parts_.size() + part) * columns;
      const double factor = host_factors.data()[lookup];
      for (std::size_t column = 0; column < columns; ++column) {
        sum[column] += factor * vector[column];
      }
    }
  }
  return {sums.begin(), sums.end()};
}

}  // namespace mneme::memory
