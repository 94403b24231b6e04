#include "memory/value_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "io/check.h"
#include "io/error.h"
#include "kernels/device_array.h"
#include "memory/catch_up.h"
#include "memory/lookup_set.h"
#include "memory/record_exchange.h"
#include "memory/row_gradient.h"

namespace mneme::memory {
namespace {

const ValueTableOptions& checked_table(const ValueTableOptions& options) {
  if (options.rows < 1 || options.rows > std::numeric_limits<kernels::RowId>::max() - 1ull) {
    io::fail("value table: {} rows; there must be between 1 and {}", options.rows,
             std::numeric_limits<kernels::RowId>::max() - 1ull);
  }
  if (options.width < 1 || options.width > (1 << 20)) {
    io::fail("value table: width is {}; it must be between 1 and {}", options.width, 1 << 20);
  }
  const kernels::ColumnRange columns = columns_of(options);
  if (!columns.is_valid() || columns.total != options.width) {
    io::fail(
        "value table: columns {} to {} of {} are no range of a row of {} columns: it must be 1, 2, "
        "4 or 8 of its column groups",
        columns.first, columns.first + columns.count, columns.total, options.width);
  }
  if (!columns.is_all() && (options.optimizer.clip_norm > 0 ||
                            options.optimizer.kind == kernels::RowOptimizerKind::kAdagradRowwise)) {
    io::fail(
        "value table: it holds {} of {} columns, but clipping and adagrad-rowwise need the norms "
        "of whole rows",
        columns.count, columns.total);
  }
  if (options.gradient_calls_per_step < 1) {
    io::fail("value table: {} gradient calls a step; there must be at least 1",
             options.gradient_calls_per_step);
  }
  check_options(options.optimizer);
  return options;
}

// Tables of one run share a seed; their rounding must not be the same.
std::uint64_t rounding_seed(const ValueTableOptions& options) {
  return options.seed ^ (options.table * 0x9e3779b97f4a7c15ull);
}

}  // namespace

kernels::ColumnRange columns_of(const ValueTableOptions& options) {
  return options.columns.total == 0
             ? kernels::ColumnRange::all(static_cast<std::uint32_t>(options.width))
             : options.columns;
}

offload::StoreOptions store_options(const ValueTableOptions& options) {
  return {.table = options.table,
          .rows = options.rows,
          .layout = record_layout(options.optimizer.kind, columns_of(options), options.value_type,
                                  options.moment_type),
          .initial_standard_deviation = {static_cast<float>(
              1 / std::sqrt(static_cast<double>(options.width)))},
          .seed = options.seed,
          .run_id = options.run_id,
          .tiers = options.tiers,
          .paths = options.paths,
          .save_bytes = options.save_bytes,
          .read_only = options.read_only};
}

class ValueTable::Implementation {
 public:
  Implementation(kernels::Backend& backend, io::Disk& disk, const ValueTableOptions& options)
      : backend_(backend),
        options_(checked_table(options)),
        store_(backend, disk, store_options(options)),
        catch_up_(backend, options.optimizer, rounding_seed(options)),
        gradient_(backend, {.tokens = options.tokens_per_call * options.gradient_calls_per_step,
                            .lookups_per_token = options.lookups_per_token,
                            .columns = columns_of(options),
                            .table_rows = options.rows}),
        exchange_(backend, store_),
        norm_chunks_(chunks(options)),
        square_norms_(backend, norm_chunks_ > 0 ? kNormRows * kernels::kMostClipGroups : 0),
        square_sums_(backend, norm_chunks_ * kernels::kMostClipGroups),
        square_sum_(backend, 1),
        host_square_sum_(kernels::pinned_array<double>(backend, 1)),
        grad_scale_(backend, 1),
        host_one_(kernels::pinned_array<float>(backend, 1)) {
    *host_one_.data() = 1.0f;
  }

  const ValueTableOptions& options() const { return options_; }
  offload::TieredStore& store() { return store_; }

  void begin_step(std::uint64_t step) {
    CHECK(step >= 1, "training steps count from 1");
    step_ = step;
    mode_ = offload::LeaseMode::kTrain;
    cause_ = offload::Cause::kTraining;
    gradient_.clear();
    grouped_ = false;
    store_.begin_step(step);
    current_for_ = step - 1;
  }

  void begin_evaluation(std::uint64_t completed_step, offload::Cause cause) {
    mode_ = offload::LeaseMode::kReadOnly;
    cause_ = cause;
    current_for_ = completed_step;
  }

  std::unique_ptr<LookupSet> make_lookup_set(std::int32_t layer) {
    return std::make_unique<LookupSet>(
        backend_, LookupSetShape{.tokens = options_.tokens_per_call,
                                 .lookups_per_token = options_.lookups_per_token,
                                 .table_rows = options_.rows,
                                 .layer = layer});
  }

  void group(kernels::Stream& stream, const kernels::RowId* rows, std::int64_t tokens,
             LookupSet& set) {
    set.group(stream, rows, tokens);
    look_up(stream, set, offload::Pass::kForward);
  }

  void gather(kernels::Stream& stream, LookupSet& set, const float* weights, float* y) {
    const std::int64_t numbers = set.tokens() * std::int64_t{columns_of(options_).count};
    backend_.zero(stream, y, kernels::DeviceArray<float>::bytes(numbers));
    for_each_chunk(stream, set, offload::Pass::kForward,
                   [&](offload::Lease& lease, std::int64_t first) {
                     backend_.gather_rows(stream, lease.arena(),
                                          {.grouped = set.grouped(),
                                           .weights = weights,
                                           .slots = lease.slots(),
                                           .first = first,
                                           .count = lease.count(),
                                           .y = y});
                   });
  }

  void dot(kernels::Stream& stream, LookupSet& set, const float* d_y, float* d_weights) {
    for_each_chunk(stream, set, offload::Pass::kBackward,
                   [&](offload::Lease& lease, std::int64_t first) {
                     backend_.lookup_dot(stream, lease.arena(),
                                         {.grouped = set.grouped(),
                                          .d_y = d_y,
                                          .slots = lease.slots(),
                                          .first = first,
                                          .count = lease.count(),
                                          .d_weights = d_weights});
                   });
  }

  void keep_gradient(kernels::Stream& stream, const LookupSet& set, const float* weights,
                     const float* d_y) {
    CHECK(mode_ == offload::LeaseMode::kTrain, "gradients are kept in training steps only");
    gradient_.keep(stream, set, weights, d_y);
  }

  void check_disk_room(kernels::Stream& stream) {
    if (options_.tiers.disk_bytes == 0 || gradient_.tokens() == 0) return;
    group_gradient(stream);
    const LookupSet& rows = gradient_.lookups();
    store_.require_disk_room(rows.grouped().unique_rows, rows.distinct_rows());
  }

  TableStep finish_step(kernels::Stream& stream) {
    CHECK(mode_ == offload::LeaseMode::kTrain && step_ >= 1, "finish_step without begin_step");
    TableStep result;
    if (gradient_.tokens() == 0) return result;
    group_gradient(stream);
    look_up(stream, gradient_.lookups(), offload::Pass::kUpdate);
    result.distinct_rows = looked_up(stream, gradient_.lookups());
    const kernels::RowGradient gradient = gradient_.gradient();
    set_grad_scale(stream, gradient, result);
    if (std::isfinite(result.gradient_norm)) {
      update(stream, gradient);
    } else {
      // A gradient that is not finite counts as zero: the rows stay as this step has caught them
      // up. They are dirty, so that what a later step finds is the same in every tier.
      for_each_chunk(stream, gradient_.lookups(), offload::Pass::kUpdate,
                     [](offload::Lease& lease, std::int64_t) { lease.mark_dirty(); });
    }
    gradient_.clear();
    grouped_ = false;
    return result;
  }

  void read_values(std::uint64_t completed_step, std::span<const kernels::RowId> rows,
                   std::span<float> out, const std::function<void()>& between) {
    CHECK(rows.empty() || rows.back() < options_.rows);
    exchange_.read_values(currency(completed_step), rows, out, between);
  }

  void write_values(std::span<const kernels::RowId> rows, std::span<const float> values,
                    std::uint64_t step) {
    exchange_.write_values(rows, values, step);
  }

  std::vector<float> dense_gradient(kernels::Stream& stream) const {
    return gradient_.dense(stream, options_.rows);
  }

 private:
  // Rows whose norms are worked out at once: a fixed number, so that sums over them have one order.
  static constexpr std::int64_t kNormRows = std::int64_t{1} << 18;
  static std::int64_t chunks(const ValueTableOptions& options) {
    if (options.optimizer.clip_norm == 0) return 0;
    const std::int64_t most =
        options.tokens_per_call * options.gradient_calls_per_step * options.lookups_per_token;
    return (most + kNormRows - 1) / kNormRows;
  }

  offload::Currency currency(std::uint64_t step) {
    const kernels::CatchUpArgs* const catch_up = catch_up_.advance(step);
    return {.kind = options_.optimizer.kind,
            .step = step,
            .catch_up = catch_up,
            .catch_up_ready = catch_up_.ready()};
  }

  void group_gradient(kernels::Stream& stream) {
    if (!grouped_) gradient_.group(stream);
    grouped_ = true;
  }

  // The lease of all distinct rows of a set, and of their first ones.
  offload::LeaseRequest request(const LookupSet& set, offload::Pass pass) const {
    return {.rows = set.grouped().unique_rows,
            .count = set.lookups(),
            .mode = mode_,
            .account = {cause_, set.layer(), pass},
            .rows_ready = &set.rows_ready(),
            .count_at = set.distinct_rows_at()};
  }

  // Grouping and look-up are queued together, so that the caller waits once, and only when it takes
  // the lease.
  void look_up(kernels::Stream& stream, const LookupSet& set, offload::Pass pass) {
    store_.look_up(stream, request(set, pass));
    looked_up_ = &set;
  }

  // The number of distinct rows.
  std::int64_t looked_up(kernels::Stream& stream, const LookupSet& set) {
    if (std::exchange(looked_up_, nullptr) == &set) return store_.looked_up(stream);
    return set.distinct_rows();
  }

  // Runs `work(lease, first)` over the distinct rows in chunks that the device tier can hold. Each
  // chunk's rows stay resident after its lease where the budget allows, for the next operation. The
  // rows of a chunk come beside the caller's other work and beside the work on the chunk before.
  template <typename Work>
  void for_each_chunk(kernels::Stream& stream, const LookupSet& set, offload::Pass pass,
                      const Work& work) {
    const offload::Currency current = currency(current_for_);
    const std::int64_t count =
        std::exchange(looked_up_, nullptr) == &set ? store_.looked_up(stream) : set.distinct_rows();
    offload::LeaseRequest chunk_request = request(set, pass);
    chunk_request.count_at = nullptr;
    const std::int64_t capacity = store_.lease_capacity(mode_);
    // Two leases at a time where all rows do not fit into one; read-only ones come one by one.
    const bool two = mode_ == offload::LeaseMode::kTrain && count > capacity;
    const std::int64_t chunk = two ? capacity / 2 : capacity;
    CHECK(chunk >= 1);
    offload::Lease before;
    for (std::int64_t first = 0; first < count;) {
      chunk_request.rows = set.grouped().unique_rows + first;
      chunk_request.count = std::min(chunk, count - first);
      offload::Lease lease = store_.acquire(stream, chunk_request, current);
      // It ends in front of the work on these rows: the next ones come beside that.
      before = {};
      work(lease, first);
      first += lease.count();
      if (two) before = std::move(lease);
    }
    // The catch-up tables may change only after this point of the stream.
    catch_up_.mark_used(stream);
  }

  // Leaves the clip factor in grad_scale_ and the norm in `step`.
  void set_grad_scale(kernels::Stream& stream, const kernels::RowGradient& gradient,
                      TableStep& step) {
    const double limit = options_.optimizer.clip_norm;
    if (limit == 0) {
      backend_.copy(stream, grad_scale_.data(), host_one_.data(), sizeof(float));
      return;
    }
    const int groups = gradient.groups();
    std::int64_t chunk = 0;
    for (std::int64_t first = 0; first < step.distinct_rows; first += kNormRows, ++chunk) {
      const std::int64_t count = std::min(kNormRows, step.distinct_rows - first);
      backend_.row_gradient_norms(stream, gradient, first, count, square_norms_.data());
      for (int group = 0; group < groups; ++group) {
        backend_.sum(stream, square_norms_.data() + group * count, count,
                     square_sums_.data() + chunk * groups + group);
      }
    }
    backend_.clip_scale(stream, {.square_sums = square_sums_.data(),
                                 .chunks = chunk,
                                 .groups = groups,
                                 .limit = static_cast<float>(limit),
                                 .scale = grad_scale_.data(),
                                 .total = square_sum_.data()});
    backend_.copy(stream, host_square_sum_.data(), square_sum_.data(), sizeof(double));
    stream.synchronize();
    step.gradient_norm = std::sqrt(*host_square_sum_.data());
  }

  void update(kernels::Stream& stream, const kernels::RowGradient& gradient) {
    const kernels::RowUpdateArgs args = update_args();
    for_each_chunk(stream, gradient_.lookups(), offload::Pass::kUpdate,
                   [&](offload::Lease& lease, std::int64_t first) {
                     backend_.update_rows(stream, lease.arena(), lease.slots(), gradient, first,
                                          lease.count(), args);
                     lease.mark_dirty();
                   });
  }

  kernels::RowUpdateArgs update_args() {
    const kernels::CatchUpArgs* const catch_up = currency(current_for_).catch_up;
    const RowOptimizerOptions& optimizer = options_.optimizer;
    return {.kind = optimizer.kind,
            .step = step_,
            .learning_rate = optimizer.learning_rate(step_),
            .beta1 = optimizer.beta1,
            .beta2 = optimizer.beta2,
            .epsilon = optimizer.epsilon,
            .weight_decay = optimizer.weight_decay,
            .grad_scale = grad_scale_.data(),
            .seed = rounding_seed(options_),
            .moment_decay = catch_up != nullptr ? catch_up->moment_decay : nullptr};
  }

  kernels::Backend& backend_;
  ValueTableOptions options_;
  offload::TieredStore store_;
  CatchUp catch_up_;
  StepGradient gradient_;
  RecordExchange exchange_;
  std::int64_t norm_chunks_;                      // the most that a step has; 0: nothing is clipped
  kernels::DeviceArray<float> square_norms_;      // [groups, kNormRows]: of a chunk's rows
  kernels::DeviceArray<double> square_sums_;      // [chunks, groups]
  kernels::DeviceArray<double> square_sum_;       // [1]
  kernels::DeviceArray<double> host_square_sum_;  // [1], pinned host
  kernels::DeviceArray<float> grad_scale_;        // [1]
  kernels::DeviceArray<float> host_one_;          // [1], pinned host

  std::uint64_t step_ = 0;
  bool grouped_ = false;                  // gradient_, with all that was kept
  const LookupSet* looked_up_ = nullptr;  // the set of the last look-up, until it is waited for
  offload::Cause cause_ = offload::Cause::kTraining;
  offload::LeaseMode mode_ = offload::LeaseMode::kTrain;
  std::uint64_t current_for_ = 0;  // the step whose result leases read
};

ValueTable::ValueTable(kernels::Backend& backend, io::Disk& disk, const ValueTableOptions& options)
    : implementation_(std::make_unique<Implementation>(backend, disk, options)) {}
ValueTable::~ValueTable() = default;

const ValueTableOptions& ValueTable::options() const {
  return implementation_->options();
}
offload::TieredStore& ValueTable::store() {
  return implementation_->store();
}
void ValueTable::begin_step(std::uint64_t step) {
  implementation_->begin_step(step);
}
void ValueTable::begin_evaluation(std::uint64_t completed_step, offload::Cause cause) {
  implementation_->begin_evaluation(completed_step, cause);
}
std::unique_ptr<LookupSet> ValueTable::make_lookup_set(std::int32_t layer) {
  return implementation_->make_lookup_set(layer);
}
void ValueTable::group(kernels::Stream& stream, const kernels::RowId* rows, std::int64_t tokens,
                       LookupSet& set) {
  implementation_->group(stream, rows, tokens, set);
}
void ValueTable::gather(kernels::Stream& stream, LookupSet& set, const float* weights, float* y) {
  implementation_->gather(stream, set, weights, y);
}
void ValueTable::dot(kernels::Stream& stream, LookupSet& set, const float* d_y, float* d_weights) {
  implementation_->dot(stream, set, d_y, d_weights);
}
void ValueTable::keep_gradient(kernels::Stream& stream, const LookupSet& set, const float* weights,
                               const float* d_y) {
  implementation_->keep_gradient(stream, set, weights, d_y);
}
void ValueTable::check_disk_room(kernels::Stream& stream) {
  implementation_->check_disk_room(stream);
}
TableStep ValueTable::finish_step(kernels::Stream& stream) {
  return implementation_->finish_step(stream);
}
void ValueTable::read_values(std::uint64_t completed_step, std::span<const kernels::RowId> rows,
                             std::span<float> out, const std::function<void()>& between) {
  implementation_->read_values(completed_step, rows, out, between);
}
void ValueTable::read_values(std::uint64_t completed_step, kernels::RowId first, std::int64_t count,
                             std::span<float> out) {
  std::vector<kernels::RowId> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  read_values(completed_step, rows, out);
}
void ValueTable::write_values(std::span<const kernels::RowId> rows, std::span<const float> values,
                              std::uint64_t step) {
  implementation_->write_values(rows, values, step);
}
std::vector<float> ValueTable::dense_gradient(kernels::Stream& stream) {
  return implementation_->dense_gradient(stream);
}

}  // namespace mneme::memory
