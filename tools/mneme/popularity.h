// Random ranks of a popularity: uniform, or Zipf's law with an exponent, as words of a text and
// rows of a table follow it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

namespace mneme::tools {

class Popularity {
 public:
  // Ranks 0 .. count - 1. `skew` is Zipf's exponent; 0 makes all ranks alike.
  Popularity(std::uint64_t count, double skew, std::uint64_t seed)
      : random_(seed), count_(count), skew_(skew) {}

  std::uint64_t next() {
    const double u = static_cast<double>(random_() >> 11) * 0x1p-53;
    const double n = static_cast<double>(count_);
    double rank = u * n;
    if (skew_ > 0) {
      // The inverse of the continuous Zipf distribution on [1, n + 1).
      rank = skew_ == 1 ? std::pow(n + 1, u) - 1
                        : std::pow(1 + u * (std::pow(n + 1, 1 - skew_) - 1), 1 / (1 - skew_)) - 1;
    }
    return std::min(static_cast<std::uint64_t>(rank), count_ - 1);
  }

 private:
  std::mt19937_64 random_;
  std::uint64_t count_;
  double skew_;
};

}  // namespace mneme::tools
