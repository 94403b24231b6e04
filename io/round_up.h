// Sizes in whole units: blocks of direct I/O, slots, alignments.
#pragma once

#include <cstdint>

namespace mneme::io {

// The smallest multiple of `unit` that is not below `value`. REQUIRES: unit > 0, and the result
// fits.
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace mneme::io
