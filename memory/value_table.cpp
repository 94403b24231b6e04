#include "memory/value_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "io/check.h"
#include "io/error.h"
#include "kernels/device_array.h"
#include "offload/tier_sizes.h"

namespace mneme::memory {
namespace {

std::int64_t calls_kept(const ValueTableOptions& options) {
  return options.gradient_calls_kept != 0 ? options.gradient_calls_kept
                                          : options.gradient_calls_per_step;
}

const ValueTableOptions& checked_table(const ValueTableOptions& options) {
  if (options.rows < 1 || options.rows > std::numeric_limits<kernels::RowId>::max() - 1ull) {
    io::fail("value table: {} rows; there must be between 1 and {}", options.rows,
             std::numeric_limits<kernels::RowId>::max() - 1ull);
  }
  if (options.width < 1 || options.width > (1 << 20)) {
    io::fail("value table: width is {}; it must be between 1 and {}", options.width, 1 << 20);
  }
  if (options.parts < 1 || options.parts > kernels::kMaxRowParts) {
    io::fail("value table: rows of {} parts; they have 1, or PEER's 2", options.parts);
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
  const std::int64_t kept = calls_kept(options);
  if (kept < 1 || kept > options.gradient_calls_per_step ||
      (kept < options.gradient_calls_per_step && !options.accumulates_gradient)) {
    io::fail("value table: {} of {} gradient calls a step are kept, and rows {} gradient arrays",
             kept, options.gradient_calls_per_step,
             options.accumulates_gradient ? "have" : "have no");
  }
  check_options(options.optimizer);
  return options;
}

// Tables of one run share a seed; their rounding must not be the same.
std::uint64_t rounding_seed(const ValueTableOptions& options) {
  return options.seed ^ (options.table * 0x9e3779b97f4a7c15ull);
}

RowUpdateShape update_shape(const ValueTableOptions& options) {
  // A table that nobody trains keeps nothing.
  const std::int64_t calls = options.read_only ? 1 : options.gradient_calls_per_step;
  return {.table_rows = options.rows,
          .columns = columns_of(options),
          .parts = options.parts,
          .tokens_per_call = options.tokens_per_call,
          .lookups_per_token = options.lookups_per_token,
          .calls = calls,
          .calls_kept = std::min(calls, calls_kept(options)),
          .slots = offload::tier_sizes(store_options(options)).training,
          .has_disk_budget = options.tiers.disk_bytes > 0};
}

}  // namespace

kernels::ColumnRange columns_of(const ValueTableOptions& options) {
  return options.columns.total == 0
             ? kernels::ColumnRange::all(static_cast<std::uint32_t>(options.width))
             : options.columns;
}

offload::StoreOptions store_options(const ValueTableOptions& options) {
  const auto deviation = static_cast<float>(1 / std::sqrt(static_cast<double>(options.width)));
  return {.table = options.table,
          .rows = options.rows,
          .layout = record_layout(options.optimizer.kind, columns_of(options), options.value_type,
                                  options.moment_type, options.accumulates_gradient, options.parts),
          .initial_standard_deviation = {deviation, deviation},
          .seed = options.seed,
          .run_id = options.run_id,
          .tiers = options.tiers,
          .paths = options.paths,
          .save_bytes = options.save_bytes,
          .read_only = options.read_only};
}

ValueTable::ValueTable(kernels::Backend& backend, io::Disk& disk, const ValueTableOptions& options)
    : backend_(backend),
      options_(checked_table(options)),
      store_(backend, disk, store_options(options)),
      leases_(backend, store_, options.optimizer, rounding_seed(options)),
      update_(backend, store_, leases_, options.optimizer, update_shape(options),
              rounding_seed(options)),
      exchange_(backend, store_) {}

void ValueTable::begin_step(std::uint64_t step) {
  leases_.begin_step(step);
  update_.begin_step(step);
}

void ValueTable::begin_evaluation(std::uint64_t completed_step, offload::Cause cause) {
  leases_.begin_evaluation(completed_step, cause);
}

std::unique_ptr<LookupSet> ValueTable::make_lookup_set(std::int32_t layer) {
  return std::make_unique<LookupSet>(backend_,
                                     LookupSetShape{.tokens = options_.tokens_per_call,
                                                    .lookups_per_token = options_.lookups_per_token,
                                                    .table_rows = options_.rows,
                                                    .layer = layer});
}

void ValueTable::group(kernels::Stream& stream, const kernels::RowId* rows, std::int64_t tokens,
                       LookupSet& set) {
  set.group(stream, rows, tokens);
  leases_.look_up(stream, set.rows(), offload::Pass::kForward);
}

void ValueTable::gather(kernels::Stream& stream, LookupSet& set, const float* weights, float* y) {
  const std::int64_t numbers = set.tokens() * std::int64_t{columns_of(options_).count};
  backend_.zero(stream, y, kernels::DeviceArray<float>::bytes(numbers));
  leases_.for_each_chunk(stream, set.rows(), offload::Pass::kForward,
                         [&](offload::Lease& lease, std::int64_t first) {
                           backend_.gather_rows(stream, lease.arena(),
                                                {.part = value_part(),
                                                 .grouped = set.grouped(),
                                                 .weights = weights,
                                                 .slots = lease.slots(),
                                                 .first = first,
                                                 .count = lease.count(),
                                                 .y = y});
                         });
}

void ValueTable::dot(kernels::Stream& stream, LookupSet& set, const float* d_y, float* d_weights) {
  leases_.for_each_chunk(stream, set.rows(), offload::Pass::kBackward,
                         [&](offload::Lease& lease, std::int64_t first) {
                           backend_.lookup_dot(stream, lease.arena(),
                                               {.part = value_part(),
                                                .grouped = set.grouped(),
                                                .d_y = d_y,
                                                .slots = lease.slots(),
                                                .first = first,
                                                .count = lease.count(),
                                                .d_weights = d_weights});
                         });
}

void ValueTable::keep_gradient(kernels::Stream& stream, const LookupSet& set, const float* weights,
                               const float* d_y) {
  FactoredParts parts;
  parts[static_cast<std::size_t>(value_part())] = {weights, d_y};
  keep_gradient(stream, set, parts);
}

void ValueTable::keep_gradient(kernels::Stream& stream, const LookupSet& set,
                               const FactoredParts& parts) {
  CHECK(leases_.is_training(), "gradients are kept in training steps only");
  update_.keep(stream, set, parts);
}

void ValueTable::check_experts() const {
  CHECK(options_.parts == 2, "rows of one part are no experts");
}

// What later chunks' look-ups are worth is worked out too soon, from dots of an earlier call, and
// then again.
void ValueTable::run_experts(kernels::Stream& stream, LookupSet& set, const float* x,
                             const ExpertLookups& lookups, float* y) {
  check_experts();
  const std::int64_t numbers = set.tokens() * std::int64_t{columns_of(options_).count};
  backend_.zero(stream, y, kernels::DeviceArray<float>::bytes(numbers));
  leases_.for_each_chunk(stream, set.rows(), offload::Pass::kForward,
                         [&](offload::Lease& lease, std::int64_t first) {
                           backend_.lookup_dot(stream, lease.arena(),
                                               {.part = 0,
                                                .grouped = set.grouped(),
                                                .d_y = x,
                                                .slots = lease.slots(),
                                                .first = first,
                                                .count = lease.count(),
                                                .d_weights = lookups.dots});
                           backend_.expert_activation(stream, {.weights = lookups.weights,
                                                               .dots = lookups.dots,
                                                               .factors = lookups.factors,
                                                               .count = set.lookups()});
                           backend_.gather_rows(stream, lease.arena(),
                                                {.part = 1,
                                                 .grouped = set.grouped(),
                                                 .weights = lookups.factors,
                                                 .slots = lease.slots(),
                                                 .first = first,
                                                 .count = lease.count(),
                                                 .y = y});
                         });
}

// Chunks go upwards: d_x is a sum over rows.
void ValueTable::run_experts_backward(kernels::Stream& stream, LookupSet& set,
                                      const ExpertLookups& lookups,
                                      const ExpertGradients& gradients) {
  check_experts();
  leases_.for_each_chunk(stream, set.rows(), offload::Pass::kBackward,
                         [&](offload::Lease& lease, std::int64_t first) {
                           backend_.lookup_dot(stream, lease.arena(),
                                               {.part = 1,
                                                .grouped = set.grouped(),
                                                .d_y = gradients.d_y,
                                                .slots = lease.slots(),
                                                .first = first,
                                                .count = lease.count(),
                                                .d_weights = gradients.d_factors});
                           backend_.expert_activation_backward(stream,
                                                               {.weights = lookups.weights,
                                                                .dots = lookups.dots,
                                                                .d_factors = gradients.d_factors,
                                                                .d_weights = gradients.d_weights,
                                                                .d_dots = gradients.d_dots,
                                                                .count = set.lookups()});
                           backend_.gather_rows(stream, lease.arena(),
                                                {.part = 0,
                                                 .grouped = set.grouped(),
                                                 .weights = gradients.d_dots,
                                                 .slots = lease.slots(),
                                                 .first = first,
                                                 .count = lease.count(),
                                                 .y = gradients.d_x});
                         },
                         {.ascending = true});
}

void ValueTable::make_gradient_room(kernels::Stream& stream, std::int64_t calls) {
  CHECK(leases_.is_training(), "gradients are kept in training steps only");
  update_.make_gradient_room(stream, calls);
}

void ValueTable::check_disk_room(kernels::Stream& stream) {
  update_.check_disk_room(stream);
}

TableStep ValueTable::finish_step(kernels::Stream& stream) {
  CHECK(leases_.is_training(), "finish_step without begin_step");
  const TableStep step = update_.finish_step(stream);
  store_.end_step();
  return step;
}

void ValueTable::read_values(std::uint64_t completed_step, std::span<const kernels::RowId> rows,
                             std::span<float> out, const std::function<void()>& between) {
  CHECK(rows.empty() || rows.back() < options_.rows);
  exchange_.read_values(leases_.currency(completed_step), rows, out, between);
}

void ValueTable::read_values(std::uint64_t completed_step, kernels::RowId first, std::int64_t count,
                             std::span<float> out) {
  std::vector<kernels::RowId> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  read_values(completed_step, rows, out);
}

void ValueTable::write_values(std::span<const kernels::RowId> rows, std::span<const float> values,
                              std::uint64_t step) {
  exchange_.write_values(rows, values, step);
}

std::vector<float> ValueTable::dense_gradient(kernels::Stream& stream) {
  return update_.kept().dense(stream, options_.rows);
}

}  // namespace mneme::memory
