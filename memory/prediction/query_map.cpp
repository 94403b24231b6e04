#include "memory/prediction/query_map.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <utility>

#include "io/error.h"

namespace mneme::memory {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

constexpr double kKept = 0.98923;  // 2^(-1/64)
// Of the mean variance of a state's elements: keeps directions that nothing was seen of near zero.
constexpr double kRidge = 1e-3;

}  // namespace

QueryMap::QueryMap(kernels::Backend& backend, std::int64_t width, std::int64_t query_width)
    : backend_(backend),
      width_(width),
      query_width_(query_width),
      new_sums_(backend, pairs_at()),
      host_(kernels::pinned_array<float>(backend, pairs_at())),
      weight_(backend, query_width * width),
      bias_(backend, query_width),
      sums_(static_cast<std::size_t>(pairs_at()) + 1) {}

void QueryMap::observe(kernels::Stream& stream, const float* states, const float* queries,
                       std::int64_t tokens) {
  if (new_pairs_ == 0) {
    backend_.zero(stream, new_sums_.data(), kernels::DeviceArray<float>::bytes(pairs_at()));
  }
  new_pairs_ += tokens;
  const auto add_products = [&](const float* left, std::int64_t left_width, std::int64_t at) {
    backend_.matmul(stream, {.a = left,
                             .b = states,
                             .c = new_sums_.data() + at,
                             .m = left_width,
                             .n = width_,
                             .k = tokens,
                             .lda = left_width,
                             .ldb = width_,
                             .ldc = width_,
                             .transpose_a = true,
                             .accumulate = true});
  };
  add_products(states, width_, 0);
  add_products(queries, query_width_, cross_at());
  backend_.sum_rows(
      stream, {.x = states, .out = new_sums_.data() + mean_at(), .rows = tokens, .width = width_});
  backend_.sum_rows(
      stream,
      {.x = queries, .out = new_sums_.data() + query_at(), .rows = tokens, .width = query_width_});
}

void QueryMap::refit(kernels::Stream& stream) {
  if (new_pairs_ == 0) return;
  backend_.copy(stream, host_.data(), new_sums_.data(),
                kernels::DeviceArray<float>::bytes(pairs_at()));
  stream.synchronize();
  for (std::size_t i = 0; i + 1 < sums_.size(); ++i) {
    sums_[i] = kKept * sums_[i] + double{host_.data()[i]};
  }
  sums_.back() = kKept * sums_.back() + static_cast<double>(std::exchange(new_pairs_, 0));
  solve(stream);
}

void QueryMap::restore(kernels::Stream& stream, std::vector<double> sums) {
  if (sums.size() != sums_.size()) {
    io::fail("a query map of {} sums cannot go on with {}", sums_.size(), sums.size());
  }
  sums_ = std::move(sums);
  stream.synchronize();
  solve(stream);
}

// Where the model has diverged, or nearly, what comes next is learned from afresh.
// With the means taken out, W solves W (X^T X + ridge) = Q^T X.
void QueryMap::solve(kernels::Stream& stream) {
  const bool is_sound =
      std::all_of(sums_.begin(), sums_.end(), [](double sum) { return std::isfinite(sum); });
  if (!is_sound) std::fill(sums_.begin(), sums_.end(), 0);
  const double pairs = sums_.back();
  is_known_ = pairs > static_cast<double>(width_);
  if (!is_known_) return;
  const Vector mean = Eigen::Map<const Vector>(sums_.data() + mean_at(), width_) / pairs;
  const Vector query = Eigen::Map<const Vector>(sums_.data() + query_at(), query_width_) / pairs;
  Matrix gram = Eigen::Map<const Matrix>(sums_.data(), width_, width_) / pairs;
  gram.noalias() -= mean * mean.transpose();
  const double variance = gram.trace() / static_cast<double>(width_);
  gram.diagonal().array() += kRidge * variance + 1e-30;
  Matrix cross = Eigen::Map<const Matrix>(sums_.data() + cross_at(), query_width_, width_) / pairs;
  cross.noalias() -= query * mean.transpose();
  const Eigen::LLT<Matrix> factor(gram);
  const Matrix weight = factor.solve(cross.transpose()).transpose();
  if (factor.info() != Eigen::Success || !weight.allFinite()) {
    std::fill(sums_.begin(), sums_.end(), 0);
    is_known_ = false;
    return;
  }
  const Vector bias = query - weight * mean;
  Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
      host_.data(), query_width_, width_) = weight.cast<float>();
  float* const host_bias = host_.data() + query_width_ * width_;
  Eigen::Map<Eigen::VectorXf>(host_bias, query_width_) = bias.cast<float>();
  backend_.copy(stream, weight_.data(), host_.data(),
                kernels::DeviceArray<float>::bytes(query_width_ * width_));
  backend_.copy(stream, bias_.data(), host_bias, kernels::DeviceArray<float>::bytes(query_width_));
}

}  // namespace mneme::memory
