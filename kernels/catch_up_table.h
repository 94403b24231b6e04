// What catch_up_rows needs to know of the steps so far, kept on the host: learning rates, decay and
// the closed form of the missed steps (CatchUpEntry in row_ops.h). A pure function of the options
// and the target step: advancing one step at a time and starting afresh give the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "kernels/row_ops.h"

namespace mneme::kernels {

struct CatchUpTableOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0;
  // Learning rate of step s >= 1; a pure function. Called once for each step.
  std::function<double(std::uint64_t step)> learning_rate;
};

// Whether a step of this learning rate leaves something of a value that decays.
bool leaves_decay_factor(double learning_rate, double weight_decay);

class CatchUpTable {
 public:
  // Throws Error when a beta is outside [0, 1), epsilon is negative, or there is no learning rate.
  explicit CatchUpTable(CatchUpTableOptions options);

  // Extends the table to target step t. Costs O(window) a step. REQUIRES t >= target_step().
  // Throws Error when a step's learning rate is not finite or its decay factor is not positive.
  void advance(std::uint64_t t);

  std::uint64_t target_step() const { return log_decay_.size() - 1; }
  // A row's missed steps beyond this many no longer move it in float32: their share of the sum is
  // below 1e-9, since terms fall by beta1/sqrt(beta2) a step. Where that is not below 1, terms
  // still fall by beta1, from at most 1/epsilon. At most kMaxWindow, else the constructor throws.
  std::uint64_t window() const { return window_; }
  static constexpr std::uint64_t kMaxWindow = 8192;
  // The window of these options; nothing where it would be longer than kMaxWindow. REQUIRES: betas
  // in [0, 1), epsilon >= 0.
  static std::optional<std::uint64_t> window_for(const CatchUpTableOptions& options);

  // For upload to the device: CatchUpArgs says how each is indexed.
  std::span<const CatchUpEntry> entries() const { return entries_; }           // [t]
  std::span<const float> learning_rates() const { return learning_rates_; }    // [t + 1]
  std::span<const double> log_decay() const { return log_decay_; }             // [t + 1]
  std::span<const MomentDecay> moment_decay() const { return moment_decay_; }  // [t + 1]
  // Entries with an index below this are the same as when the target step was `since`.
  std::uint64_t first_changed_entry(std::uint64_t since) const {
    return since > window_ ? since - window_ : 0;
  }

  // Sets everything of `args` that does not live in device memory: target step, denominator,
  // window, betas and epsilon.
  void describe(CatchUpArgs& args) const;

 private:
  // b_s of an entry: how much of sqrt(v) is left at step s, bias-corrected.
  double root_ratio(std::uint64_t l, std::uint64_t s) const;
  void start_entry(std::uint64_t l);
  void add_term(std::uint64_t l, std::uint64_t s);
  void publish_entry(std::uint64_t l);

  // Sums in progress of an entry that still changes.
  struct Accumulator {
    double numerator[kCatchUpTerms] = {};
    double scale = 1;  // 1 / b_(l+1)
    double error = 0;  // bound of the closed form's error, as a share of `size`
    double size = 0;   // F(0) / scale
  };

  CatchUpTableOptions options_;
  std::uint64_t window_ = 0;
  std::vector<CatchUpEntry> entries_;
  std::vector<float> learning_rates_;
  std::vector<double> rates_;
  std::vector<double> log_decay_;
  std::vector<MomentDecay> moment_decay_;
  std::vector<Accumulator> open_;  // ring of the newest `window_` entries, index l % window_
};

}  // namespace mneme::kernels
