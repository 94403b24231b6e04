#include "kernels/catch_up_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/check.h"
#include "io/error.h"

namespace mneme::kernels {
namespace {

// The closed form replaces 1/(b + z) by P_b(z)/Q(z) with Q(z) = prod (z + kPoles[j]), exact at the
// points z = kPoints[i]:
//   P_b(z) = (Q(z) - r(b) N(z)) / (z + b),  N(z) = prod (z - kPoints[i]),
//   r(b) = prod (b - kPoles[j]) / (b + kPoints[j]),
// with a relative error of r(b) N(z)/Q(z). Poles and points were found by minimising the largest
// error of F over all z for betas .9 and .95, constant, rising and falling learning rates: 2e-8.
// They serve other betas as well, as long as beta1/sqrt(beta2) is not close to 1; each entry adds
// up its own bound and falls back to the elementwise sum beyond kLargestError.
constexpr double kPoles[kCatchUpTerms] = {
    0.9627225135, 0.8621422264, 0.7041062133,  0.5343562861,  0.381384566,   0.2610600004,
    0.1674655479, 0.1003450771, 0.05993709226, 0.03118822789, 0.01563435322, 0.006091439382};
constexpr double kPoints[kCatchUpTerms] = {
    53.84421421,   5.65996979,    1.822975659,   0.7944752785,   0.3789528674,   0.1884170167,
    0.09137109513, 0.04386559432, 0.01909036552, 0.007287600929, 0.002019294754, 0.0001820407741};
constexpr double kLargestError = 1e-6;
// A missed step whose share of the sum is below this does not matter.
constexpr double kSmallestShare = 1e-9;

// Coefficients, lowest power first. Extended precision: the division below cancels.
struct Polynomials {
  long double q[kCatchUpTerms + 1] = {1};
  long double n[kCatchUpTerms + 1] = {1};
  double largest_ratio = 0;  // of |N/Q| over z >= 0
};

void multiply(long double (&polynomial)[kCatchUpTerms + 1], int degree, long double constant) {
  for (int i = degree + 1; i > 0; --i) {
    polynomial[i] = polynomial[i - 1] + constant * polynomial[i];
  }
  polynomial[0] *= constant;
}

Polynomials make_polynomials() {
  Polynomials polynomials;
  for (int j = 0; j < kCatchUpTerms; ++j) {
    multiply(polynomials.q, j, kPoles[j]);
    multiply(polynomials.n, j, -kPoints[j]);
  }
  for (int i = -400; i <= 400; ++i) {
    const double z = std::pow(10.0, i / 50.0);
    double ratio = 1;
    for (int j = 0; j < kCatchUpTerms; ++j) ratio *= (z - kPoints[j]) / (z + kPoles[j]);
    polynomials.largest_ratio = std::max(polynomials.largest_ratio, std::abs(ratio));
  }
  return polynomials;
}

const Polynomials& polynomials() {
  static const Polynomials made = make_polynomials();
  return made;
}

std::uint64_t choose_window(const CatchUpTableOptions& options) {
  const std::optional<std::uint64_t> window = CatchUpTable::window_for(options);
  if (!window) {
    io::fail(
        "adamw cannot catch up rows with beta1 {} and beta2 {}: their momentum would matter for "
        "more than {} missed steps; choose beta1 further below the square root of beta2",
        options.beta1, options.beta2, CatchUpTable::kMaxWindow);
  }
  return *window;
}

void check_options(const CatchUpTableOptions& options) {
  const auto is_beta = [](double beta) { return beta >= 0 && beta < 1; };
  if (!is_beta(options.beta1) || !is_beta(options.beta2)) {
    io::fail("adamw betas are {} and {}; both must be in [0, 1)", options.beta1, options.beta2);
  }
  if (!(options.epsilon >= 0)) io::fail("adamw epsilon is {}; it must be >= 0", options.epsilon);
  if (!options.learning_rate) io::fail("adamw needs a learning rate");
}

}  // namespace

bool leaves_decay_factor(double learning_rate, double weight_decay) {
  return std::isfinite(learning_rate) && learning_rate * weight_decay < 1;
}

std::optional<std::uint64_t> CatchUpTable::window_for(const CatchUpTableOptions& options) {
  if (options.beta1 == 0) return 1;
  double window = 1e30;
  const double ratio = options.beta1 / std::sqrt(options.beta2);
  if (ratio < 1) window = std::log(kSmallestShare) / std::log(ratio);
  // Whatever beta2: |m| <= 1 and a term is at most m beta1^(s-l) / epsilon.
  const double smallest = kSmallestShare * std::min(1.0, options.epsilon);
  if (smallest > 0) window = std::min(window, std::log(smallest) / std::log(options.beta1));
  if (window > static_cast<double>(kMaxWindow)) return std::nullopt;
  return static_cast<std::uint64_t>(std::ceil(std::max(1.0, window)));
}

CatchUpTable::CatchUpTable(CatchUpTableOptions options) : options_(std::move(options)) {
  check_options(options_);
  window_ = choose_window(options_);
  learning_rates_.push_back(0);
  rates_.push_back(0);
  log_decay_.push_back(0);
  moment_decay_.push_back({});
  open_.resize(window_);
}

void CatchUpTable::advance(std::uint64_t t) {
  CHECK(t >= target_step(), "the table is at step {}, asked for {}", target_step(), t);
  while (target_step() < t) {
    const std::uint64_t s = target_step() + 1;
    const double rate = options_.learning_rate(s);
    if (!leaves_decay_factor(rate, options_.weight_decay)) {
      io::fail(
          "the learning rate of step {} is {}; with weight decay {} it must be finite and "
          "leave a positive decay factor",
          s, rate, options_.weight_decay);
    }
    rates_.push_back(rate);
    learning_rates_.push_back(static_cast<float>(rate));
    log_decay_.push_back(log_decay_.back() + std::log1p(-rate * options_.weight_decay));
    const auto missed = static_cast<double>(s);
    moment_decay_.push_back({static_cast<float>(std::pow(options_.beta1, missed)),
                             static_cast<float>(std::pow(options_.beta2, missed))});
    start_entry(s - 1);
    for (std::uint64_t l = s > window_ ? s - window_ : 0; l < s; ++l) {
      add_term(l, s);
      publish_entry(l);
    }
  }
}

double CatchUpTable::root_ratio(std::uint64_t l, std::uint64_t s) const {
  const auto missed = static_cast<double>(s - l);
  return std::sqrt(std::pow(options_.beta2, missed) /
                   (1 - std::pow(options_.beta2, static_cast<double>(s))));
}

void CatchUpTable::start_entry(std::uint64_t l) {
  Accumulator& sum = open_[l % window_];
  sum = {};
  const double largest = root_ratio(l, l + 1);
  sum.scale = largest > 0 ? 1 / largest : 0;
  entries_.push_back({});
}

void CatchUpTable::add_term(std::uint64_t l, std::uint64_t s) {
  Accumulator& sum = open_[l % window_];
  if (sum.scale == 0) return;
  const double weight = rates_[s] * std::exp(log_decay_[l] - log_decay_[s]) *
                        std::pow(options_.beta1, static_cast<double>(s - l)) /
                        (1 - std::pow(options_.beta1, static_cast<double>(s)));
  const double b = root_ratio(l, s) * sum.scale;
  double r = 1;
  for (int j = 0; j < kCatchUpTerms; ++j) r *= (b - kPoles[j]) / (b + kPoints[j]);
  // Division of Q - r N by (z + b), from the highest power down.
  const Polynomials& p = polynomials();
  long double coefficient = 0;
  for (int i = kCatchUpTerms; i > 0; --i) {
    coefficient = p.q[i] - r * p.n[i] - b * coefficient;
    sum.numerator[i - 1] += weight * static_cast<double>(coefficient);
  }
  sum.size += std::abs(weight) / b;
  sum.error += std::abs(weight * r) / b * p.largest_ratio;
}

void CatchUpTable::publish_entry(std::uint64_t l) {
  const Accumulator& sum = open_[l % window_];
  CatchUpEntry& entry = entries_[l];
  for (int i = 0; i < kCatchUpTerms; ++i) entry.numerator[i] = static_cast<float>(sum.numerator[i]);
  entry.scale = static_cast<float>(sum.scale);
  entry.closed_form = sum.scale > 0 && sum.error <= kLargestError * sum.size ? 1.0f : 0.0f;
}

void CatchUpTable::describe(CatchUpArgs& args) const {
  args.target_step = target_step();
  args.window = window_;
  args.beta1 = options_.beta1;
  args.beta2 = options_.beta2;
  args.epsilon = options_.epsilon;
  for (int i = 0; i <= kCatchUpTerms; ++i)
    args.denominator[i] = static_cast<float>(polynomials().q[i]);
}

}  // namespace mneme::kernels
