// Which documents validate: a share of them, spread over the corpus.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "io/random.h"

namespace mneme::text {

// Documents are counted from 0. Of each stretch of 1/share documents one validates, and seed and
// stretch decide which. So every part of a corpus gives its share, whatever its order, and what a
// document does depends on nothing but its number. The first document always trains, so that there
// is something to train on.
class ValidationChoice {
 public:
  static constexpr double kMostShare = 0.5;

  // REQUIRES 0 <= share <= kMostShare.
  ValidationChoice(double share, std::uint64_t seed) : share_(share), seed_(seed) {}

  bool contains(std::uint64_t document) const {
    if (share_ == 0 || document == 0) return false;
    const double around = std::floor(static_cast<double>(document) * share_);
    for (double stretch = std::max(0.0, around - 1); stretch <= around + 1; ++stretch) {
      if (chosen(stretch) == document) return true;
    }
    return false;
  }

 private:
  std::uint64_t chosen(double stretch) const {
    io::SplitMix random(seed_ ^ (static_cast<std::uint64_t>(stretch) * 0x9e3779b97f4a7c15));
    random.next();
    const double place = static_cast<double>(random.next() >> 11) * 0x1.0p-53;
    return static_cast<std::uint64_t>(std::floor((stretch + place) / share_));
  }

  double share_;
  std::uint64_t seed_;
};

}  // namespace mneme::text
