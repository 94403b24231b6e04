// Drives a value table with rows and gradients given: one token a row, one lookup a token, factor
// 1, so that the vectors are the row's gradient. Of rows of two parts one follows the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "memory/lookup_set.h"
#include "memory/value_table.h"
#include "offload/tiered_store.h"
#include "tests/memory/support.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::test {

// Where the rows of a test's table may live.
enum class Budget {
  kAllResident,  // every row fits on the device
  kHost,         // the smallest device tier, the rest in host memory
  kDisk,         // the smallest device tier, hardly any host memory, the rest on disk
};

inline memory::ValueTableOptions table_options(std::uint64_t rows, std::int64_t width) {
  memory::ValueTableOptions options;
  options.rows = rows;
  options.width = width;
  options.seed = 7;
  options.optimizer.learning_rate = [](std::uint64_t) { return 1e-3; };
  options.lookups_per_token = 1;
  options.gradient_calls_per_step = 1;
  options.paths = {"rows"};
  return options;
}

inline kernels::RecordLayout layout_of(const memory::ValueTableOptions& options) {
  return memory::store_options(options).layout;
}

inline offload::TierOptions tiers_of(Budget budget, const memory::ValueTableOptions& options) {
  offload::TierOptions tiers;
  const kernels::RecordLayout layout = layout_of(options);
  const std::uint64_t least = offload::minimum_device_bytes(layout);
  tiers.device_bytes = budget == Budget::kAllResident ? (options.rows + 16) * least : least;
  tiers.host_bytes =
      budget == Budget::kDisk ? 16 * ((layout.record_bytes() + 63) / 64 * 64) : 64u << 20;
  return tiers;
}

class TableRun {
 public:
  // most_rows: the most rows of one step. The table's tiers follow the budget.
  TableRun(memory::ValueTableOptions options, std::size_t most_rows, Budget budget,
           kernels::Backend& backend = test_backend())
      : backend_(backend), disk_({.record_log = false}) {
    options.tokens_per_call = static_cast<std::int64_t>(std::max<std::size_t>(1, most_rows));
    const std::uint64_t disk_bytes = options.tiers.disk_bytes;
    options.tiers = tiers_of(budget, options);
    options.tiers.disk_bytes = disk_bytes;
    table_ = std::make_unique<memory::ValueTable>(backend_, disk_, options);
    lookups_ = table_->make_lookup_set();
    stream_ = backend_.create_stream();
  }

  memory::ValueTable& table() { return *table_; }
  offload::TieredStore& store() { return table_->store(); }
  std::uint64_t row_count() const { return table_->options().rows; }
  // Of the columns that the table holds.
  std::int64_t width() const { return memory::columns_of(table_->options()).count; }
  int parts() const { return table_->options().parts; }

  // Sets every value. values: [rows, parts, width].
  template <typename Number>
  void write_all(const std::vector<Number>& values) {
    std::vector<kernels::RowId> rows(row_count());
    std::iota(rows.begin(), rows.end(), kernels::RowId{0});
    table_->write_values(rows, std::vector<float>(values.begin(), values.end()), 0);
  }

  // Takes training step t with these rows and their gradients [rows.size(), parts, width]; reads
  // their values first, as a model's forward does. Returns what finish_step says; read() what was
  // read.
  template <typename Number>
  memory::TableStep step(std::uint64_t t, const std::vector<kernels::RowId>& rows,
                         const std::vector<Number>& gradients) {
    table_->begin_step(t);
    if (!rows.empty()) micro_batch(rows, gradients);
    return table_->finish_step(*stream_);
  }
  // The part of it that comes before finish_step(), for one micro-batch.
  template <typename Number>
  void micro_batch(const std::vector<kernels::RowId>& rows, const std::vector<Number>& gradients) {
    const Uploaded<kernels::RowId> device_rows(backend_, *stream_, rows);
    const Uploaded<float> ones(backend_, *stream_, std::vector<float>(rows.size(), 1.0f));
    std::vector<Uploaded<float>> vectors;
    memory::FactoredParts factored;
    for (int part = 0; part < parts(); ++part) {
      vectors.emplace_back(backend_, *stream_, numbers_of_part(gradients, part));
      factored[static_cast<std::size_t>(part)] = {ones.data(), vectors.back().data()};
    }
    const Uploaded<float> y(backend_, rows.size() * static_cast<std::size_t>(width()));
    table_->make_gradient_room(*stream_, 1);
    table_->group(*stream_, device_rows.data(), static_cast<std::int64_t>(rows.size()), *lookups_);
    table_->gather(*stream_, *lookups_, ones.data(), y.data());
    table_->keep_gradient(*stream_, *lookups_, factored);
    read_ = y.read(*stream_);
  }
  kernels::Stream& stream() { return *stream_; }
  // Values of the last step's rows as its forward read them.
  const std::vector<float>& read() const { return read_; }

  // Reads rows as evaluation does, after a completed step.
  std::vector<float> evaluate(std::uint64_t completed_step,
                              const std::vector<kernels::RowId>& rows) {
    table_->begin_evaluation(completed_step);
    const Uploaded<kernels::RowId> device_rows(backend_, *stream_, rows);
    const Uploaded<float> ones(backend_, *stream_, std::vector<float>(rows.size(), 1.0f));
    const Uploaded<float> y(backend_, rows.size() * static_cast<std::size_t>(width()));
    table_->group(*stream_, device_rows.data(), static_cast<std::int64_t>(rows.size()), *lookups_);
    table_->gather(*stream_, *lookups_, ones.data(), y.data());
    return y.read(*stream_);
  }

  // [rows, parts, width], as after completed_step.
  std::vector<float> values(std::uint64_t completed_step) {
    std::vector<float> out(row_count() * static_cast<std::size_t>(parts() * width()));
    table_->read_values(completed_step, 0, static_cast<std::int64_t>(row_count()), out);
    return out;
  }

  // Every record as stored.
  std::vector<std::byte> records() {
    std::vector<std::byte> out(row_count() * layout_of(table_->options()).record_bytes());
    store().read_records(0, static_cast<std::int64_t>(row_count()), out.data());
    return out;
  }

 private:
  // Of numbers [rows, parts, width], those of one part.
  template <typename Number>
  std::vector<Number> numbers_of_part(const std::vector<Number>& numbers, int part) const {
    std::vector<Number> out;
    const std::int64_t row = parts() * width();
    for (auto at = numbers.begin(); at != numbers.end(); at += row) {
      out.insert(out.end(), at + part * width(), at + (part + 1) * width());
    }
    return out;
  }

  kernels::Backend& backend_;
  io::SimulatedDisk disk_;
  std::unique_ptr<memory::ValueTable> table_;
  std::unique_ptr<memory::LookupSet> lookups_;
  std::unique_ptr<kernels::Stream> stream_;
  std::vector<float> read_;
};

// Dense AdamW over a whole table, in float64: the reference of SPEC.md.
struct DenseAdamW {
  DenseAdamW(const memory::RowOptimizerOptions& with, const std::vector<double>& initial)
      : options(with), values(initial), moment1(initial.size()), moment2(initial.size()) {}

  // gradient: [rows, parts, width] of the whole table.
  void step(std::uint64_t t, const std::vector<double>& gradient) {
    const double rate = options.learning_rate(t), count = static_cast<double>(t);
    const double correction1 = 1 - std::pow(options.beta1, count);
    const double correction2 = 1 - std::pow(options.beta2, count);
    double norm = 0;
    for (const double g : gradient) norm += g * g;
    norm = std::sqrt(norm);
    const double clip =
        options.clip_norm > 0 && norm > options.clip_norm ? options.clip_norm / (norm + 1e-6) : 1.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double g = clip * gradient[i];
      moment1[i] = options.beta1 * moment1[i] + (1 - options.beta1) * g;
      moment2[i] = options.beta2 * moment2[i] + (1 - options.beta2) * g * g;
      values[i] = values[i] * (1 - rate * options.weight_decay) -
                  rate * (moment1[i] / correction1) /
                      (std::sqrt(moment2[i] / correction2) + options.epsilon);
    }
  }

  memory::RowOptimizerOptions options;
  std::vector<double> values, moment1, moment2;
};

// Adds rows' gradients [rows.size(), width] into a dense one of `count` elements.
inline std::vector<double> scatter(const std::vector<kernels::RowId>& rows,
                                   const std::vector<double>& gradients, std::size_t count) {
  std::vector<double> dense(count);
  if (rows.empty()) return dense;
  const std::size_t width = gradients.size() / rows.size();
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    dense[rows[i / width] * width + i % width] += gradients[i];
  }
  return dense;
}

}  // namespace mneme::test
