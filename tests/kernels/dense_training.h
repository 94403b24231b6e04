// Trains rows of a small table with catch_up_rows and update_rows, and the same table densely in
// float64 beside it.
#pragma once

#include <memory>
#include <vector>

#include "kernels/catch_up_table.h"
#include "tests/kernels/oracle/rows.h"
#include "tests/kernels/row_table.h"

namespace mneme::testing {

class DenseTraining {
 public:
  DenseTraining(kernels::Backend& backend, std::uint32_t rows, const OnePart& part,
                const kernels::CatchUpTableOptions& options)
      : backend_(backend),
        stream_(backend.create_stream()),
        table_(backend, part, rows),
        catch_up_(options),
        options_(options),
        dense_(rows * part.width) {
    const auto values = random_floats(static_cast<std::int64_t>(dense_.size()), 77, 0.06);
    for (kernels::RowId row = 0; row < rows; ++row) {
      for (std::int64_t c = 0; c < table_.width(); ++c) {
        set_value(row, c, values[index(row, c)]);
      }
    }
  }

  void set_value(kernels::RowId row, std::int64_t column, double x) {
    table_.set_value(row, column, x);
    dense_[index(row, column)].value = table_.value(row, column);
  }

  // Step t with the given gradient [rows.size(), width] on ascending rows, scaled by `scale`.
  // Read rows are caught up to t - 1 first, as a forward pass would.
  void step(std::uint64_t t, const std::vector<kernels::RowId>& rows,
            const std::vector<float>& gradient, double scale = 1) {
    catch_up(t - 1, rows);
    const auto width = static_cast<std::size_t>(table_.width());
    kernels::RowUpdateArgs args{.step = t,
                                .learning_rate = options_.learning_rate(t),
                                .beta1 = options_.beta1,
                                .beta2 = options_.beta2,
                                .epsilon = options_.epsilon,
                                .weight_decay = options_.weight_decay,
                                .seed = 5};
    if (!rows.empty()) {
      // One token a row with weight 1: the factored gradient is the gradient.
      const TestLookups lookups(backend_, *stream_, rows, 1);
      const Pinned<float> weights(backend_, static_cast<std::int64_t>(rows.size()), 1.0f);
      const Pinned<float> d_y(backend_, gradient);
      const Pinned<float> clip(backend_, 1, static_cast<float>(scale));
      const Pinned<kernels::SlotId> slots(backend_, slots_of(rows));
      const Pinned<kernels::MomentDecay> decays(backend_, moment_decay());
      args.grad_scale = clip.data();
      args.moment_decay = decays.data();
      backend_.update_rows(
          *stream_, table_.arena(), slots.data(),
          gradient_of(lookups.grouped(), weights.data(), d_y.data(), table_.width()), 0,
          lookups.distinct(), args);
      stream_->synchronize();
    }
    std::vector<double> dense_gradient(dense_.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t c = 0; c < width; ++c) {
        dense_gradient[rows[i] * width + c] = static_cast<double>(gradient[i * width + c]) * scale;
      }
    }
    for (std::size_t i = 0; i < dense_.size(); ++i) dense_[i].step(t, dense_gradient[i], args);
  }

  void catch_up_all(std::uint64_t t) {
    std::vector<kernels::RowId> rows(table_.rows());
    std::iota(rows.begin(), rows.end(), 0u);
    catch_up(t, rows);
  }

  // Relative errors of the table against the dense one.
  double value_error() const { return error(&RowTable::value, &oracle::AdamWElement::value, 1); }
  double moment1_error() const {
    return error(&RowTable::moment1, &oracle::AdamWElement::moment1, options_.beta1);
  }
  double moment2_error() const {
    return error(&RowTable::moment2, &oracle::AdamWElement::moment2, options_.beta2);
  }

  const RowTable& table() const { return table_; }
  const std::vector<oracle::AdamWElement>& dense() const { return dense_; }

 private:
  std::size_t index(kernels::RowId row, std::int64_t column) const {
    return static_cast<std::size_t>(row * table_.width() + column);
  }

  std::vector<kernels::SlotId> slots_of(const std::vector<kernels::RowId>& rows) const {
    std::vector<kernels::SlotId> slots;
    for (const kernels::RowId row : rows) slots.push_back(table_.slot_of(row));
    return slots;
  }

  void catch_up(std::uint64_t t, const std::vector<kernels::RowId>& rows) {
    if (rows.empty()) return;
    if (t > catch_up_.target_step()) catch_up_.advance(t);
    const auto entries = catch_up_.entries();
    const Pinned<kernels::CatchUpEntry> device_entries(
        backend_, std::vector<kernels::CatchUpEntry>(entries.begin(), entries.end()));
    const auto rates = catch_up_.learning_rates();
    const Pinned<float> device_rates(backend_, std::vector<float>(rates.begin(), rates.end()));
    const auto decay = catch_up_.log_decay();
    const Pinned<double> device_decay(backend_, std::vector<double>(decay.begin(), decay.end()));
    const Pinned<kernels::MomentDecay> moment_decays(backend_, moment_decay());
    kernels::CatchUpArgs args{.entries = device_entries.data(),
                              .learning_rates = device_rates.data(),
                              .log_decay = device_decay.data(),
                              .moment_decay = moment_decays.data()};
    catch_up_.describe(args);
    args.seed = 5;
    const Pinned<kernels::RowId> device_rows(backend_, rows);
    const Pinned<kernels::SlotId> slots(backend_, slots_of(rows));
    backend_.catch_up_rows(*stream_, table_.arena(), device_rows.data(), slots.data(),
                           static_cast<std::int64_t>(rows.size()), args);
    stream_->synchronize();
  }

  std::vector<kernels::MomentDecay> moment_decay() const {
    return {catch_up_.moment_decay().begin(), catch_up_.moment_decay().end()};
  }

  // What is stored has `beta` to the power of the row's lag to go.
  double error(float (RowTable::*stored)(kernels::RowId, std::int64_t, int) const,
               double oracle::AdamWElement::*exact, double beta) const {
    std::vector<double> actual, expected;
    for (kernels::RowId row = 0; row < table_.rows(); ++row) {
      for (std::int64_t c = 0; c < table_.width(); ++c) {
        actual.push_back((table_.*stored)(row, c, 0) * std::pow(beta, table_.moment_lag(row)));
        expected.push_back(dense_[index(row, c)].*exact);
      }
    }
    return relative_error(actual, expected);
  }

  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  RowTable table_;
  kernels::CatchUpTable catch_up_;
  kernels::CatchUpTableOptions options_;
  std::vector<oracle::AdamWElement> dense_;
};

}  // namespace mneme::testing
