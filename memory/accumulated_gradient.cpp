#include "memory/accumulated_gradient.h"

#include <algorithm>
#include <numeric>

#include "io/check.h"

namespace mneme::memory {

AccumulatedGradient::AccumulatedGradient(kernels::Backend& backend,
                                         const AccumulatedGradientShape& shape)
    : backend_(&backend),
      shape_(shape),
      marks_{.words = nullptr, .table_rows = shape.table_rows},
      words_(backend, marks_.word_count()),
      is_first_(backend, shape.lookups_of_group),
      rows_(backend, static_cast<std::int64_t>(std::min(
                         shape.table_rows, static_cast<std::uint64_t>(shape.lookups_of_step)))),
      number_(kernels::pinned_array<std::uint64_t>(backend, 1)),
      counting_(backend, kMostRows + 1),
      listed_(backend.create_event()) {
  marks_.words = words_.data();
  const auto stream = backend.create_stream();
  const auto numbers = kernels::pinned_array<std::uint32_t>(backend, counting_.count());
  std::iota(numbers.data(), numbers.data() + numbers.count(), 0u);
  backend.copy(*stream, counting_.data(), numbers.data(),
               kernels::DeviceArray<std::uint32_t>::bytes(numbers.count()));
  stream->synchronize();
}

void AccumulatedGradient::add_rows(kernels::Stream& stream, const DistinctRows& rows) {
  if (is_empty_) {
    backend_->zero(stream, words_.data(),
                   kernels::DeviceArray<std::uint32_t>::bytes(words_.count()));
  }
  backend_->mark_rows(stream, marks_, rows.rows, rows.count(), is_first_.data());
  is_empty_ = false;
}

DistinctRows AccumulatedGradient::list(kernels::Stream& stream) {
  backend_->list_marked_rows(stream, marks_, rows_.data(), number_.data());
  stream.record(*listed_);
  return {.rows = rows_.data(),
          .most = rows_.count(),
          .ready = listed_.get(),
          .number = number_.data()};
}

kernels::RowGradient AccumulatedGradient::gradient(const kernels::RowArena& arena,
                                                   const kernels::SlotId* slots, std::int64_t first,
                                                   std::int64_t count) const {
  CHECK(count <= kMostRows && first + count <= rows_.count());
  kernels::RowGradient gradient;
  gradient.grouped.lookups = shape_.slots;
  gradient.grouped.lookups_per_token = 1;
  gradient.grouped.unique_rows = rows_.data() + first;
  gradient.grouped.offsets = counting_.data();
  gradient.grouped.order = const_cast<kernels::SlotId*>(slots);  // that nothing writes
  gradient.part_count = arena.layout.part_count;
  for (int i = 0; i < gradient.part_count; ++i) {
    gradient.parts[i] = {.vectors = arena.parts[i].gradient,
                         .columns = arena.layout.parts[i].columns};
  }
  return gradient;
}

}  // namespace mneme::memory
