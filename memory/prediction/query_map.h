// A linear map from an earlier state of the residual stream to the queries that a memory layer
// makes later, q = W x + b: ridge regression on pairs that were seen together, newer ones counting
// more. The sums over pairs are made on the device; the system is solved on the host in float64.
// The same pairs in the same order give the same map.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device_array.h"

namespace mneme::memory {

class QueryMap {
 public:
  // width: C, of states; query_width: Q. Device memory: C * (C + 2 Q) floats and some; pinned host
  // memory the same; host memory: C * (C + Q) doubles.
  QueryMap(kernels::Backend& backend, std::int64_t width, std::int64_t query_width);

  // Of x x^T, q x^T, x and q over the pairs: how many numbers.
  static std::int64_t sum_count(std::int64_t width, std::int64_t query_width) {
    return (width + query_width) * width + width + query_width;
  }

  // Queues the sums over pairs. states: [tokens, C], queries: [tokens, Q]; float32, device.
  void observe(kernels::Stream& stream, const float* states, const float* queries,
               std::int64_t tokens);
  // Solves for what was observed. Call it after each step's pairs: sums of earlier calls lose half
  // of their weight in 64 calls. Waits for the stream; later work there sees the new map.
  void refit(kernels::Stream& stream);

  // Whether there is a map: pairs have been observed, more than unknowns of a query.
  bool is_known() const { return is_known_; }
  const float* weight() const { return weight_.data(); }  // device, [Q, C]
  const float* bias() const { return bias_.data(); }      // device, [Q]

  // What it has learned, to go on with later: the same numbers in the same order.
  const std::vector<double>& sums() const { return sums_; }
  // Throws Error where these are not of a map of this shape.
  void restore(kernels::Stream& stream, std::vector<double> sums);

 private:
  // Where the sums of a kind begin: of x x^T, of q x^T, of x and of q, and the number of pairs.
  std::int64_t cross_at() const { return width_ * width_; }
  std::int64_t mean_at() const { return cross_at() + query_width_ * width_; }
  std::int64_t query_at() const { return mean_at() + width_; }
  std::int64_t pairs_at() const { return sum_count(width_, query_width_); }
  void solve(kernels::Stream& stream);

  kernels::Backend& backend_;
  std::int64_t width_, query_width_;
  kernels::DeviceArray<float> new_sums_;       // [pairs_at()]
  kernels::DeviceArray<float> host_;           // [pairs_at()], pinned: sums in, a map out
  kernels::DeviceArray<float> weight_, bias_;  // [Q, C], [Q]
  std::vector<double> sums_;                   // [pairs_at() + 1]
  std::int64_t new_pairs_ = 0;
  bool is_known_ = false;
};

}  // namespace mneme::memory
