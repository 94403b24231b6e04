#include "tests/cuda_emulator/src/seed.h"

#include <cstdlib>

namespace emulator {

std::uint64_t configured_seed() {
  static const std::uint64_t seed = [] {
    const char* text = std::getenv("MNEME_EMULATOR_SEED");
    return text == nullptr ? std::uint64_t{1} : std::strtoull(text, nullptr, 10);
  }();
  return seed;
}

}  // namespace emulator
