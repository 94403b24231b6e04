#include "memory/row_update.h"

#include <algorithm>
#include <cmath>

#include "io/check.h"

namespace mneme::memory {
namespace {

// Rows whose norms are summed at once: a fixed number, so that the sum has one order.
constexpr std::int64_t kNormRows = AccumulatedGradient::kMostRows;

std::int64_t lookups(const RowUpdateShape& shape, std::int64_t calls) {
  return shape.tokens_per_call * shape.lookups_per_token * calls;
}

std::int64_t norm_chunks(const RowOptimizerOptions& optimizer, const RowUpdateShape& shape) {
  if (optimizer.clip_norm == 0) return 0;
  const std::uint64_t most =
      std::min(shape.table_rows, static_cast<std::uint64_t>(lookups(shape, shape.calls)));
  return (static_cast<std::int64_t>(most) + kNormRows - 1) / kNormRows;
}

// Runs `work(first, count)` over [0, count) in pieces of at most kNormRows that end where a chunk
// of norms does; row 0 is row `at` of all.
template <typename Work>
void for_each_piece(std::int64_t at, std::int64_t count, const Work& work) {
  for (std::int64_t first = 0; first < count;) {
    const std::int64_t room = kNormRows - (at + first) % kNormRows;
    const std::int64_t piece = std::min(room, count - first);
    work(first, piece);
    first += piece;
  }
}

}  // namespace

RowUpdate::RowUpdate(kernels::Backend& backend, offload::TieredStore& store, RowLeases& leases,
                     const RowOptimizerOptions& optimizer, const RowUpdateShape& shape,
                     std::uint64_t seed)
    : backend_(backend),
      store_(store),
      leases_(leases),
      optimizer_(optimizer),
      shape_(shape),
      seed_(seed),
      kept_(backend, {.tokens = shape.tokens_per_call * shape.calls_kept,
                      .lookups_per_token = shape.lookups_per_token,
                      .columns = shape.columns,
                      .parts = shape.parts,
                      .table_rows = shape.table_rows}),
      groups_(shape.parts * static_cast<int>(shape.columns.groups())),
      norm_chunks_(norm_chunks(optimizer, shape)),
      square_norms_(backend, norm_chunks_ > 0 ? kNormRows * groups_ : 0),
      square_sums_(backend, norm_chunks_ * groups_),
      square_sum_(backend, 1),
      host_square_sum_(kernels::pinned_array<double>(backend, 1)),
      grad_scale_(backend, 1),
      host_one_(kernels::pinned_array<float>(backend, 1)) {
  *host_one_.data() = 1.0f;
  if (shape.calls_kept >= shape.calls) return;
  accumulated_.emplace(
      backend, AccumulatedGradientShape{.table_rows = shape.table_rows,
                                        .lookups_of_group = lookups(shape, shape.calls_kept),
                                        .lookups_of_step = lookups(shape, shape.calls),
                                        .slots = shape.slots});
  some_norms_ = {backend, square_norms_.count()};
}

void RowUpdate::begin_step(std::uint64_t step) {
  step_ = step;
  forget_kept();
  if (accumulated_) accumulated_->clear();
}

void RowUpdate::forget_kept() {
  kept_.clear();
  grouped_ = added_ = false;
}

void RowUpdate::make_gradient_room(kernels::Stream& stream, std::int64_t calls) {
  if (accumulated_ && kept_.is_full_for(calls * shape_.tokens_per_call)) accumulate(stream);
}

void RowUpdate::group_kept(kernels::Stream& stream) {
  if (!grouped_) kept_.group(stream);
  grouped_ = true;
}

// Adds what is kept to what stands in the rows.
void RowUpdate::accumulate(kernels::Stream& stream) {
  if (kept_.tokens() == 0) return;
  group_kept(stream);
  const DistinctRows rows = kept_.rows();
  if (!added_) accumulated_->add_rows(stream, rows);
  added_ = true;
  if (shape_.has_disk_budget) {
    const DistinctRows all = accumulated_->list(stream);
    store_.require_disk_room(all.rows, all.count());
  }
  leases_.look_up(stream, rows, offload::Pass::kUpdate);
  const kernels::RowGradient gradient = kept_.gradient();
  leases_.for_each_chunk(stream, rows, offload::Pass::kUpdate,
                         [&](offload::Lease& lease, std::int64_t first) {
                           backend_.accumulate_gradient(
                               stream, lease.arena(),
                               {.gradient = gradient,
                                .slots = lease.slots(),
                                .is_first = accumulated_->is_first() + first,
                                .first = first,
                                .count = lease.count()});
                         },
                         {.changes_rows = true});
  forget_kept();
}

void RowUpdate::check_disk_room(kernels::Stream& stream) {
  if (!shape_.has_disk_budget) return;
  if (is_accumulated()) {
    accumulate(stream);
    return;
  }
  if (kept_.tokens() == 0) return;
  group_kept(stream);
  const DistinctRows rows = kept_.rows();
  store_.require_disk_room(rows.rows, rows.count());
}

TableStep RowUpdate::finish_step(kernels::Stream& stream) {
  TableStep result;
  const bool accumulated = is_accumulated();
  if (!accumulated && kept_.tokens() == 0) return result;
  DistinctRows rows;
  if (accumulated) {
    accumulate(stream);
    rows = accumulated_->list(stream);
  } else {
    group_kept(stream);
    rows = kept_.rows();
  }
  leases_.look_up(stream, rows, offload::Pass::kUpdate);
  result.distinct_rows = leases_.count(stream, rows);
  result.gradient_norm = clip(stream, rows, result.distinct_rows);
  if (std::isfinite(result.gradient_norm)) {
    update(stream, rows);
  } else if (!accumulated) {
    // A gradient that is not finite counts as zero: the rows stay as this step has caught them up.
    // They are dirty, as rows are that a gradient was added up in, so that what a later step finds
    // is the same in every tier.
    leases_.for_each_chunk(stream, rows, offload::Pass::kUpdate,
                           [](offload::Lease&, std::int64_t) {}, {.changes_rows = true});
  }
  begin_step(step_);
  return result;
}

double RowUpdate::clip(kernels::Stream& stream, const DistinctRows& rows, std::int64_t count) {
  if (norm_chunks_ == 0) {
    backend_.copy(stream, grad_scale_.data(), host_one_.data(), sizeof(float));
    return 0;
  }
  if (is_accumulated()) {
    queue_accumulated_norms(stream, rows, count);
  } else {
    queue_kept_norms(stream, count);
  }
  backend_.clip_scale(stream, {.square_sums = square_sums_.data(),
                               .chunks = (count + kNormRows - 1) / kNormRows,
                               .groups = groups_,
                               .limit = static_cast<float>(optimizer_.clip_norm),
                               .scale = grad_scale_.data(),
                               .total = square_sum_.data()});
  backend_.copy(stream, host_square_sum_.data(), square_sum_.data(), sizeof(double));
  stream.synchronize();
  return std::sqrt(*host_square_sum_.data());
}

void RowUpdate::queue_kept_norms(kernels::Stream& stream, std::int64_t count) {
  const kernels::RowGradient gradient = kept_.gradient();
  for (std::int64_t first = 0; first < count; first += kNormRows) {
    const std::int64_t rows = std::min(kNormRows, count - first);
    backend_.row_gradient_norms(stream, gradient, first, rows, square_norms_.data());
    queue_sums(stream, first / kNormRows, rows);
  }
}

// Leases end anywhere: their norms are put together to those of a chunk first.
void RowUpdate::queue_accumulated_norms(kernels::Stream& stream, const DistinctRows& rows,
                                        std::int64_t count) {
  leases_.for_each_chunk(
      stream, rows, offload::Pass::kUpdate, [&](offload::Lease& lease, std::int64_t leased) {
        for_each_piece(leased, lease.count(), [&](std::int64_t at, std::int64_t piece) {
          const std::int64_t row = leased + at, chunk = row / kNormRows;
          const std::int64_t rows_of_chunk = std::min(kNormRows, count - chunk * kNormRows);
          backend_.row_gradient_norms(
              stream, accumulated_->gradient(lease.arena(), lease.slots() + at, row, piece), 0,
              piece, some_norms_.data());
          for (int group = 0; group < groups_; ++group) {
            backend_.copy(stream, square_norms_.data() + group * rows_of_chunk + row % kNormRows,
                          some_norms_.data() + group * piece,
                          kernels::DeviceArray<float>::bytes(piece));
          }
          if (row % kNormRows + piece == rows_of_chunk) queue_sums(stream, chunk, rows_of_chunk);
        });
      });
}

void RowUpdate::queue_sums(kernels::Stream& stream, std::int64_t chunk, std::int64_t count) {
  for (int group = 0; group < groups_; ++group) {
    backend_.sum(stream, square_norms_.data() + group * count, count,
                 square_sums_.data() + chunk * groups_ + group);
  }
}

void RowUpdate::update(kernels::Stream& stream, const DistinctRows& rows) {
  const kernels::RowUpdateArgs args = update_args();
  const bool accumulated = is_accumulated();
  const kernels::RowGradient kept = kept_.gradient();
  leases_.for_each_chunk(
      stream, rows, offload::Pass::kUpdate,
      [&](offload::Lease& lease, std::int64_t first) {
        if (!accumulated) {
          backend_.update_rows(stream, lease.arena(), lease.slots(), kept, first, lease.count(),
                               args);
        } else {
          for_each_piece(first, lease.count(), [&](std::int64_t at, std::int64_t piece) {
            const kernels::SlotId* const slots = lease.slots() + at;
            backend_.update_rows(stream, lease.arena(), slots,
                                 accumulated_->gradient(lease.arena(), slots, first + at, piece), 0,
                                 piece, args);
          });
        }
      },
      {.changes_rows = true});
}

kernels::RowUpdateArgs RowUpdate::update_args() {
  const kernels::CatchUpArgs* const catch_up = leases_.currency().catch_up;
  return {.kind = optimizer_.kind,
          .step = step_,
          .learning_rate = optimizer_.learning_rate(step_),
          .beta1 = optimizer_.beta1,
          .beta2 = optimizer_.beta2,
          .epsilon = optimizer_.epsilon,
          .weight_decay = optimizer_.weight_decay,
          .grad_scale = grad_scale_.data(),
          .seed = seed_,
          .moment_decay = catch_up != nullptr ? catch_up->moment_decay : nullptr};
}

}  // namespace mneme::memory
