// Where pseudo-random choices come from.
#pragma once

#include <cstdint>

namespace emulator {

// What MNEME_EMULATOR_SEED says; 1 without it.
std::uint64_t configured_seed();

// Numbers that are close to each other become numbers that look random.
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// What a counter that is mixed goes on by.
inline constexpr std::uint64_t kSeedStep = 0x9e3779b97f4a7c15u;

}  // namespace emulator
