#include "kernels/cpu/half_top.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "kernels/cpu/dispatch.h"

namespace mneme::kernels::cpu {
namespace {

// The scores are dealt out to piles; the top-th best of the piles' maxima is a lower bound of the
// top-th best score, and few scores reach it. More piles make a closer bound, which takes longer to
// find and pays where many scores would reach a looser one.
constexpr std::int64_t kFewPiles = 16;  // for at most kFewWanted of at most kFewScores
constexpr std::int64_t kFewWanted = 12;
constexpr std::int64_t kFewScores = 256;
constexpr std::int64_t kPiles = 64;
constexpr std::int64_t kManyPiles = 256;

// Order-preserving: a larger float has a smaller number. Zeros of both signs are equal.
MNEME_INLINE std::uint32_t descending_bits(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x + 0.0f);
  return (bits & 0x80000000u) != 0 ? bits : ~bits & 0x7fffffffu;
}
float from_descending_bits(std::uint32_t key) {
  return std::bit_cast<float>((key & 0x80000000u) != 0 ? key : ~key & 0x7fffffffu);
}

// maxima[p] = max of scores[p + i kCount]; returns whether any score is NaN.
template <std::int64_t kCount>
bool find_maxima(const float* scores, std::int64_t count, float* maxima) {
  return vectorised([=]() MNEME_VECTORISE {
    for (std::int64_t p = 0; p < kCount; ++p) {
      maxima[p] = -std::numeric_limits<float>::infinity();
    }
    std::int32_t nan = 0;
    std::int64_t begin = 0;
    for (; begin + kCount <= count; begin += kCount) {
      for (std::int64_t p = 0; p < kCount; ++p) {
        const float x = scores[begin + p];
        maxima[p] = x > maxima[p] ? x : maxima[p];
        nan |= x != x ? 1 : 0;
      }
    }
    for (; begin < count; ++begin) {
      const float x = scores[begin];
      float& highest = maxima[begin % kCount];
      highest = x > highest ? x : highest;
      nan |= x != x ? 1 : 0;
    }
    return nan != 0;
  });
}

// Writes the keys of all scores >= bound, in ascending index, and returns how many.
std::int64_t collect(const float* scores, std::int64_t count, float bound, std::uint64_t* keys) {
  constexpr std::int64_t kBlock = 64;
  std::int64_t found = 0;
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t size = std::min(kBlock, count - begin);
    const float* block = scores + begin;
    std::uint64_t mask = 0;
    if (size == kBlock) {
      mask = vectorised([=]() MNEME_VECTORISE {
        std::uint64_t bits = 0;
        for (std::int64_t i = 0; i < kBlock; ++i) {
          bits |= static_cast<std::uint64_t>(block[i] >= bound ? 1 : 0) << i;
        }
        return bits;
      });
    } else {
      for (std::int64_t i = 0; i < size; ++i) {
        mask |= static_cast<std::uint64_t>(block[i] >= bound ? 1 : 0) << i;
      }
    }
    for (; mask != 0; mask &= mask - 1) {
      const std::int64_t i = std::countr_zero(mask);
      keys[found++] =
          std::uint64_t{descending_bits(block[i])} << 32 | static_cast<std::uint64_t>(begin + i);
    }
  }
  return found;
}

template <std::int64_t kCount>
bool find_bound(const float* scores, std::int64_t count, std::int64_t top, float& bound) {
  float maxima[kCount];
  if (find_maxima<kCount>(scores, count, maxima)) return false;
  std::nth_element(maxima, maxima + top - 1, maxima + kCount, std::greater<float>());
  bound = maxima[top - 1];
  return true;
}

}  // namespace

void find_half_top(const float* scores, std::int64_t count, std::int64_t top,
                   std::uint64_t* scratch, HalfTop& out) {
  float bound = -std::numeric_limits<float>::infinity();
  const bool few = top <= kFewWanted && count <= kFewScores;
  const bool comparable = few             ? find_bound<kFewPiles>(scores, count, top, bound)
                          : top <= kPiles ? find_bound<kPiles>(scores, count, top, bound)
                                          : find_bound<kManyPiles>(scores, count, top, bound);
  out.has_nan = !comparable;
  if (out.has_nan) return;
  const std::int64_t found = collect(scores, count, bound, scratch);
  if (found > 4 * top) {
    std::nth_element(scratch, scratch + top - 1, scratch + found);
    std::sort(scratch, scratch + top);
  } else {
    std::sort(scratch, scratch + found);
  }
  for (std::int64_t i = 0; i < top; ++i) {
    out.scores[i] = from_descending_bits(static_cast<std::uint32_t>(scratch[i] >> 32));
    out.indices[i] = static_cast<std::uint32_t>(scratch[i]);
  }
}

}  // namespace mneme::kernels::cpu
