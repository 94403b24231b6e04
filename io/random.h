// A small seeded generator (SplitMix64) for fault injection, benchmarks and tests. What a training
// run computes never depends on it; rows and sampling use Philox (kernels/scalar.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace mneme::io {

class SplitMix {
 public:
  explicit SplitMix(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // Uniform in [0, bound); the bias of the multiplication is far below what callers could see.
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }
  // True with the given probability.
  bool chance(double probability) {
    return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
  }
  void fill(std::span<std::byte> out) {
    for (std::size_t at = 0; at < out.size(); at += 8) {
      const std::uint64_t word = next();
      std::memcpy(out.data() + at, &word, out.size() - at < 8 ? out.size() - at : 8);
    }
  }

 private:
  __extension__ using Wide = unsigned __int128;

  std::uint64_t state_;
};

}  // namespace mneme::io
