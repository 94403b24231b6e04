// How likely a row with so many votes is read, learned from the steps before.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace mneme::memory {

class Calibration {
 public:
  static constexpr std::size_t kBuckets = 16;
  static constexpr double kKept = 0.917;  // 2^(-1/8), of what was learned, step by step
  // Votes 1, 2, ... 8 by themselves, then by powers of two.
  static std::size_t bucket_of(std::uint32_t votes) {
    std::size_t bucket = std::min<std::uint32_t>(votes, 8);
    for (std::uint32_t limit = 16; votes >= limit && bucket < kBuckets; limit *= 2) ++bucket;
    return std::max<std::size_t>(bucket, 1) - 1;
  }

  // What was predicted with votes of a bucket, and what of it was read.
  struct Outcome {
    std::array<std::uint64_t, kBuckets> predicted{}, read{};
  };
  // Older steps lose half of their weight in eight.
  void learn(const Outcome& outcome) {
    for (std::size_t i = 0; i < kBuckets; ++i) {
      predicted_[i] = kKept * predicted_[i] + static_cast<double>(outcome.predicted[i]);
      read_[i] = kKept * read_[i] + static_cast<double>(outcome.read[i]);
    }
  }
  // Between 0 and 1; before anything was learned, more votes are worth more.
  double confidence(std::uint32_t votes) const { return confidence_of_bucket(bucket_of(votes)); }
  double confidence_of_bucket(std::size_t bucket) const {
    const double prior = static_cast<double>(bucket + 1) / (kBuckets + 1);
    return (read_[bucket] + prior) / (predicted_[bucket] + 1);
  }

 private:
  std::array<double, kBuckets> predicted_{}, read_{};
};

}  // namespace mneme::memory
