// mneme bench rows: the value rows' part of training alone: forward (weighted gather), lookup
// gradients, and the optimiser step, with row ids drawn at random.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "engine/config.h"
#include "engine/device.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/progress.h"
#include "kernels/device_array.h"
#include "memory/lookup_set.h"
#include "memory/row_optimizer.h"
#include "memory/value_table.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/popularity.h"
#include "tools/mneme/random_copy.h"
#include "tools/mneme/scratch_folder.h"

namespace mneme::tools {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::int64_t kWarmupSteps = 2;

// Row ids of look-ups: uniform, or Zipf with an exponent, over `distinct` rows that are spread
// evenly over the table.
class RowSource {
 public:
  explicit RowSource(const BenchRowsOptions& options)
      : distinct_(options.distinct_rows == 0 ? options.rows : options.distinct_rows),
        stride_(options.rows / distinct_),
        popularity_(distinct_, options.skew, options.seed) {
    if (distinct_ > options.rows) {
      io::fail("--distinct-rows {} is more than --rows {}", distinct_, options.rows);
    }
  }

  // Row of rank `rank`, for a first pass over all of them.
  kernels::RowId row(std::uint64_t rank) const {
    return static_cast<kernels::RowId>(std::min(rank, distinct_ - 1) * stride_);
  }
  std::uint64_t distinct() const { return distinct_; }

  kernels::RowId next() { return row(popularity_.next()); }

 private:
  std::uint64_t distinct_;
  std::uint64_t stride_;
  Popularity popularity_;
};

struct StepTimes {
  double forward_ms = 0, backward_ms = 0, update_ms = 0, total_ms = 0;
  double distinct_rows = 0;
  double copy_gb_per_s = 0;  // of a random copy right after the step
};

// The least bytes that a step moves for one of its rows, all of them resident.
struct LeastBytes {
  double forward = 0, backward = 0, update = 0;

  LeastBytes(const kernels::RecordLayout& layout, kernels::RowOptimizerKind kind)
      : backward(static_cast<double>(layout.value_bytes())) {
    const double moments =
        layout.part_count * 2 * static_cast<double>(layout.parts[0].moment_bytes());
    const bool catches_up = kind == kernels::RowOptimizerKind::kAdamW;
    forward = catches_up ? 2 * backward + moments : backward;
    update = 2 * (backward + moments);
  }
  double all() const { return forward + backward + update; }
  std::string formula(kernels::RowOptimizerKind kind) const {
    return fmt::format(
        "least bytes a row: {:.0f} forward ({}) + {:.0f} backward (value read) + {:.0f} update "
        "(value and moments read and written)",
        forward,
        kind == kernels::RowOptimizerKind::kAdamW ? "value and moments read, value written"
                                                  : "value read",
        backward, update);
  }
};

double median(const std::vector<StepTimes>& steps, double StepTimes::*member) {
  std::vector<double> values;
  for (const StepTimes& step : steps) values.push_back(step.*member);
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

memory::ValueTableOptions table_options(const BenchRowsOptions& options,
                                        const std::string& folder) {
  const kernels::FloatType type = options.value_type;
  memory::ValueTableOptions table;
  table.rows = options.rows;
  table.width = options.width;
  table.parts = options.experts ? 2 : 1;
  table.value_type = type;
  table.moment_type = type;
  table.seed = options.seed;
  table.optimizer.kind = options.optimizer;
  table.optimizer.learning_rate = [](std::uint64_t) { return 1e-3; };
  table.optimizer.clip_norm = options.clip_norm;
  table.tiers.device_bytes = options.device_bytes;
  if (options.device_bytes == 0) {
    const auto layout =
        memory::record_layout(table.optimizer.kind, options.width, type, type, false, table.parts);
    const std::uint64_t touched = options.distinct_rows == 0 ? options.rows : options.distinct_rows;
    table.tiers.evaluation_share = 0;
    table.tiers.device_bytes = (touched + 64) * (layout.record_bytes() + 64);
  }
  table.tiers.host_bytes = options.host_bytes;
  table.tiers.device_policy = options.policy;
  table.tiers.host_policy = options.policy;
  table.tiers.io_depth = options.io_depth;
  table.tiers.io_engine = options.io_engine;
  table.paths = {folder + "/rows"};
  table.tokens_per_call = options.tokens;
  table.lookups_per_token = options.rows_per_token;
  table.gradient_calls_per_step = 1;
  return table;
}

// What the rows do in a step: as values of a memory layer, or as PEER's experts.
class RowWork {
 public:
  RowWork(kernels::Backend& backend, kernels::Stream& stream, memory::ValueTable& table,
          const BenchRowsOptions& options)
      : stream_(stream),
        table_(table),
        set_(table.make_lookup_set()),
        weights_(backend, options.tokens * options.rows_per_token),
        d_weights_(backend, weights_.count()),
        y_(backend, options.tokens * options.width),
        d_y_(backend, y_.count()) {
    std::mt19937 random(static_cast<unsigned>(options.seed));
    std::normal_distribution<float> normal(0.0f, 1e-2f);
    fill(backend, weights_, [&] { return 1.0f / static_cast<float>(options.rows_per_token); });
    fill(backend, d_y_, [&] { return normal(random); });
    if (!options.experts) return;
    for (auto* array : {&dots_, &factors_, &d_factors_, &d_dots_}) {
      *array = {backend, weights_.count()};
    }
    x_ = {backend, y_.count()};
    d_x_ = {backend, y_.count()};
    fill(backend, x_, [&] { return 100 * normal(random); });
  }

  void forward(const kernels::RowId* rows, std::int64_t tokens) {
    table_.group(stream_, rows, tokens, *set_);
    if (x_.count() == 0) return table_.gather(stream_, *set_, weights_.data(), y_.data());
    table_.run_experts(stream_, *set_, x_.data(), lookups(), y_.data());
  }
  void backward() {
    if (x_.count() == 0) {
      table_.dot(stream_, *set_, d_y_.data(), d_weights_.data());
      table_.keep_gradient(stream_, *set_, weights_.data(), d_y_.data());
      return;
    }
    table_.run_experts_backward(stream_, *set_, lookups(),
                                {.d_y = d_y_.data(),
                                 .d_factors = d_factors_.data(),
                                 .d_weights = d_weights_.data(),
                                 .d_dots = d_dots_.data(),
                                 .d_x = d_x_.data()});
    table_.keep_gradient(
        stream_, *set_,
        memory::FactoredParts{{{d_dots_.data(), x_.data()}, {factors_.data(), d_y_.data()}}});
  }

 private:
  memory::ExpertLookups lookups() const {
    return {.weights = weights_.data(), .dots = dots_.data(), .factors = factors_.data()};
  }
  template <typename Draw>
  void fill(kernels::Backend& backend, const kernels::DeviceArray<float>& array, const Draw& draw) {
    const auto host = kernels::pinned_array<float>(backend, array.count());
    std::generate_n(host.data(), array.count(), draw);
    backend.copy(stream_, array.data(), host.data(),
                 kernels::DeviceArray<float>::bytes(array.count()));
    stream_.synchronize();
  }

  kernels::Stream& stream_;
  memory::ValueTable& table_;
  std::unique_ptr<memory::LookupSet> set_;
  kernels::DeviceArray<float> weights_, d_weights_;                  // [tokens, rows_per_token]
  kernels::DeviceArray<float> y_, d_y_;                              // [tokens, width]
  kernels::DeviceArray<float> x_, d_x_;                              // [tokens, width], of experts
  kernels::DeviceArray<float> dots_, factors_, d_factors_, d_dots_;  // of experts
};

engine::RunConfig run_config(const BenchRowsOptions& options) {
  engine::RunConfig run;
  run.threads = options.threads;
  run.device = options.device;
  return run;
}

}  // namespace

int run_bench_rows(const BenchRowsOptions& options) {
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const ScratchFolder folder(options.path + "/bench");
  const auto backend = engine::make_backend(run_config(options));
  const auto stream = backend->create_stream();
  const auto disk = io::make_posix_disk();
  memory::ValueTable table(*backend, *disk, table_options(options, folder.path()));
  const std::int64_t lookups = options.tokens * options.rows_per_token;
  using kernels::DeviceArray;
  const DeviceArray<kernels::RowId> rows(*backend, lookups);
  const auto host_rows = kernels::pinned_array<kernels::RowId>(*backend, lookups);
  RowSource source(options);
  RowWork work(*backend, *stream, table, options);
  RandomCopy copy(*backend, *stream,
                  source.distinct() * table.store().options().layout.value_bytes(), options.seed);
  std::vector<StepTimes> steps;
  offload::Entry books;
  // First every row once, so that what is measured is the rows' steady state and not their first
  // touch; then rows at random.
  const auto first_pass =
      static_cast<std::int64_t>((source.distinct() + static_cast<std::uint64_t>(lookups) - 1) /
                                static_cast<std::uint64_t>(lookups));
  const std::int64_t unmeasured = first_pass + kWarmupSteps;
  io::Phase phase("touching every row, then measuring",
                  static_cast<std::uint64_t>(unmeasured + options.steps), "steps");
  for (std::int64_t t = 1; t <= unmeasured + options.steps; ++t) {
    interrupt.check();
    for (std::int64_t i = 0; i < lookups; ++i) {
      host_rows.data()[i] = t <= first_pass
                                ? source.row(static_cast<std::uint64_t>((t - 1) * lookups + i))
                                : source.next();
    }
    backend->copy(*stream, rows.data(), host_rows.data(),
                  DeviceArray<kernels::RowId>::bytes(lookups));
    stream->synchronize();
    StepTimes times;
    auto at = Clock::now();
    const auto lap = [&] {
      stream->synchronize();
      const auto now = Clock::now();
      const double ms = std::chrono::duration<double, std::milli>(now - at).count();
      at = now;
      return ms;
    };
    table.begin_step(static_cast<std::uint64_t>(t));
    work.forward(rows.data(), options.tokens);
    times.forward_ms = lap();
    work.backward();
    times.backward_ms = lap();
    times.distinct_rows = static_cast<double>(table.finish_step(*stream).distinct_rows);
    times.update_ms = lap();
    times.total_ms = times.forward_ms + times.backward_ms + times.update_ms;
    phase.reach(static_cast<std::uint64_t>(t));
    const offload::Entry moved = table.store().take_books().total();
    if (t <= unmeasured) continue;
    times.copy_gb_per_s = copy.measure();
    steps.push_back(times);
    books += moved;
  }

  const double total_ms = median(steps, &StepTimes::total_ms);
  const double distinct = median(steps, &StepTimes::distinct_rows);
  const LeastBytes least(table.store().options().layout, options.optimizer);
  const double gb_per_s = distinct * least.all() / total_ms / 1e6;
  const double copy_gb_per_s = median(steps, &StepTimes::copy_gb_per_s);
  const auto share_of = [&](offload::Field found) {
    return static_cast<double>(books[found]) /
           std::max<double>(1.0, static_cast<double>(books[offload::Field::kRowsLeased]));
  };
  const double from_device = share_of(offload::Field::kFoundOnDevice);
  const double from_host = share_of(offload::Field::kFoundInHost);
  const double from_disk = share_of(offload::Field::kFoundOnDisk);
  if (options.json) {
    const nlohmann::ordered_json object = {{"rows", options.rows},
                                           {"width", options.width},
                                           {"parts", table.options().parts},
                                           {"device", backend->name()},
                                           {"products", backend->product_library()},
                                           {"tokens", options.tokens},
                                           {"rows_per_token", options.rows_per_token},
                                           {"optimizer", io::name_of(options.optimizer)},
                                           {"distinct_rows", distinct},
                                           {"step_ms", total_ms},
                                           {"forward_ms", median(steps, &StepTimes::forward_ms)},
                                           {"backward_ms", median(steps, &StepTimes::backward_ms)},
                                           {"update_ms", median(steps, &StepTimes::update_ms)},
                                           {"least_bytes_per_row", least.all()},
                                           {"least_gb_per_s", gb_per_s},
                                           {"random_copy_gb_per_s", copy_gb_per_s},
                                           {"device_share", from_device},
                                           {"host_share", from_host},
                                           {"disk_share", from_disk}};
    fmt::print("{}\n", object.dump());
    return 0;
  }
  fmt::print("{} rows x {}{}, {} tokens x {} rows, {}, on {}\n", options.rows,
             options.experts ? "2 x " : "", options.width, options.tokens, options.rows_per_token,
             io::name_of(options.optimizer), engine::describe(*backend));
  fmt::print("{}\nrandom copy of rows of 1 KiB: {:.2f} GB/s\n", least.formula(options.optimizer),
             copy_gb_per_s);
  fmt::print("{:>10} {:>10} {:>10} {:>10} {:>14} {:>8} {:>8} {:>8} {:>8} {:>8}\n", "step ms",
             "forward", "backward", "update", "distinct rows", "GB/s", "of copy", "device", "host",
             "disk");
  fmt::print(
      "{:>10.2f} {:>10.2f} {:>10.2f} {:>10.2f} {:>14.0f} {:>8.2f} {:>7.1f}% {:>7.1f}% {:>7.1f}% "
      "{:>7.1f}%\n",
      total_ms, median(steps, &StepTimes::forward_ms), median(steps, &StepTimes::backward_ms),
      median(steps, &StepTimes::update_ms), distinct, gb_per_s, 100 * gb_per_s / copy_gb_per_s,
      100 * from_device, 100 * from_host, 100 * from_disk);
  return 0;
}

}  // namespace mneme::tools
