// A fixed mixing of 64 bits: the finaliser of MurmurHash3 (its constants are in the public domain).
#pragma once

#include <cstdint>

namespace mneme::offload {

inline std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ull;
  return x ^ (x >> 33);
}

}  // namespace mneme::offload
