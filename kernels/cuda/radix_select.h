// The lowest of many 64-bit scores, with everything known only on the device: a radix select finds
// the score of the last one that is wanted, digit by digit from above. Nothing is kept for each
// index: every pass works the scores out again.
//
// Scores is what gives them:
//   void load();                                     // reads from device memory, once
//   std::uint64_t operator()(std::int64_t i) const;  // kNoScore: the index takes no part
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/take_indices.h"

namespace mneme::kernels::cuda {

inline constexpr std::uint64_t kNoScore = std::numeric_limits<std::uint64_t>::max();

struct RadixSelection {
  std::uint64_t threshold;  // the digits found so far; in the end the last wanted score
  std::uint32_t equal;      // how many of the scores that start with these digits are wanted
  std::uint32_t found;      // how many there are of those wanted
};

namespace internal {

inline constexpr int kRadixThreads = 256;
inline constexpr std::int64_t kRadixBlocks = 1056;  // eight a multiprocessor of large devices
inline constexpr int kRadixUnroll = 4;              // indices of a thread whose loads are in flight
inline constexpr int kDigitBits = 11;
inline constexpr int kDigits = 1 << kDigitBits;
inline constexpr int kHighestShift = 55;  // 55, 44, 33, 22, 11, 0: the 64 bits of a score

// Adds one to the count of the digit, for the lanes with `counts`. All lanes of the warp call it.
// Neighbours often have one digit: those that agree with the first lane are counted
// together.
__device__ __forceinline__ void count_digit(std::uint32_t* totals, bool counts,
                                            std::uint32_t digit) {
  const unsigned lanes = __ballot_sync(kAllLanes, counts);
  if (lanes == 0) return;
  const int leader = __ffs(static_cast<int>(lanes)) - 1;
  const std::uint32_t common = __shfl_sync(kAllLanes, digit, leader);
  const unsigned agreeing = __ballot_sync(kAllLanes, counts && digit == common);
  if (static_cast<int>(threadIdx.x % kWarp) == leader) {
    atomicAdd(totals + common, static_cast<unsigned>(__popc(agreeing)));
  } else if (counts && digit != common) {
    atomicAdd(totals + digit, 1u);
  }
}

// totals[d] += the scores that agree with the threshold above the digit at `shift` and have d
// there. totals: [kDigits].
template <typename Scores>
__global__ void __launch_bounds__(kRadixThreads)
    count_digits_kernel(Scores scores, std::int64_t count, const RadixSelection* selection,
                        int shift, std::uint32_t* totals) {
  __shared__ std::uint32_t counts[kDigits];
  for (int digit = threadIdx.x; digit < kDigits; digit += kRadixThreads) counts[digit] = 0;
  __syncthreads();
  scores.load();
  const std::uint64_t threshold = selection->threshold;
  const std::uint64_t above =
      shift == kHighestShift ? 0 : ~std::uint64_t{0} << (shift + kDigitBits);
  constexpr std::int64_t kStretch = kRadixThreads * kRadixUnroll;
  for (std::int64_t start = blockIdx.x * kStretch; start < count; start += gridDim.x * kStretch) {
    std::uint64_t score[kRadixUnroll];
#pragma unroll
    for (int u = 0; u < kRadixUnroll; ++u) {
      const std::int64_t i = start + u * kRadixThreads + threadIdx.x;
      // Beyond the end it asks again for the last one, so that no load waits for a branch.
      const std::uint64_t at = scores(i < count ? i : count - 1);
      score[u] = i < count ? at : kNoScore;
    }
#pragma unroll
    for (int u = 0; u < kRadixUnroll; ++u) {
      count_digit(counts, score[u] != kNoScore && ((score[u] ^ threshold) & above) == 0,
                  static_cast<std::uint32_t>(score[u] >> shift) & (kDigits - 1));
    }
  }
  __syncthreads();
  for (int digit = threadIdx.x; digit < kDigits; digit += kRadixThreads) {
    if (counts[digit] != 0) atomicAdd(totals + digit, counts[digit]);
  }
}

// The sum of x over the threads of the block before this one. shared: [kRadixThreads / kWarp].
static __device__ std::uint32_t sum_before(std::uint32_t x, std::uint32_t* shared) {
  const int lane = static_cast<int>(threadIdx.x % kWarp),
            warp = static_cast<int>(threadIdx.x / kWarp);
  std::uint32_t sum = x;
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const std::uint32_t lower = __shfl_up_sync(kAllLanes, sum, static_cast<unsigned>(offset));
    if (lane >= offset) sum += lower;
  }
  if (lane == kWarp - 1) shared[warp] = sum;
  __syncthreads();
  for (int w = 0; w < warp; ++w) sum += shared[w];
  return sum - x;
}

// Finds the digit that the last wanted score has at `shift`: one block. first: no digit was found
// before, and the totals are those of all scores.
static __global__ void __launch_bounds__(kRadixThreads)
    find_digit_kernel(const std::uint32_t* totals, int shift, bool first, std::uint32_t wanted,
                      RadixSelection* selection) {
  constexpr int kOwn = kDigits / kRadixThreads;
  __shared__ std::uint32_t warp_sums[kRadixThreads / kWarp];
  __shared__ std::uint32_t all;
  std::uint32_t own[kOwn], sum = 0;
#pragma unroll
  for (int d = 0; d < kOwn; ++d) sum += own[d] = totals[threadIdx.x * kOwn + d];
  std::uint32_t before = sum_before(sum, warp_sums);
  if (threadIdx.x == kRadixThreads - 1) all = before + sum;
  const std::uint64_t threshold = first ? 0 : selection->threshold;
  if (!first) wanted = selection->equal;
  __syncthreads();
  if (first) {
    wanted = min(wanted, all);
    if (threadIdx.x == 0) *selection = {0, wanted, wanted};
    __syncthreads();
  }
  if (wanted <= before || wanted > before + sum) return;
#pragma unroll
  for (int d = 0; d < kOwn; ++d) {
    if (wanted > before && wanted <= before + own[d]) {
      selection->threshold = threshold | (std::uint64_t{threadIdx.x} * kOwn + d) << shift;
      selection->equal = wanted - before;
    }
    before += own[d];
  }
}

// Picks the indices below the threshold, and those at it as a second class.
inline constexpr int kBelow = 0, kAt = 1;
template <typename Scores>
struct ChooseLowest {
  static constexpr int kClasses = 2;
  Scores scores;
  const RadixSelection* selection;
  std::uint64_t threshold = 0;

  __device__ void load() {
    scores.load();
    threshold = selection->threshold;
  }
  __device__ int operator()(std::int64_t i) const {
    const std::uint64_t score = scores(i);
    return score < threshold ? kBelow : score == threshold ? kAt : kNone;
  }
};

// Writes the picked ones in the order of indices, those at the threshold behind the others; of
// these, the first ones are enough.
struct TakeLowest {
  const RadixSelection* selection;
  std::uint32_t* out;
  std::uint32_t equal = 0, below = 0;

  __device__ void load() {
    equal = selection->equal;
    below = selection->found - equal;
  }
  __device__ void operator()(std::int64_t i, int chosen, std::uint32_t rank) const {
    if (chosen == kAt && rank >= equal) return;
    const std::uint32_t at = chosen == kAt ? below + rank : rank;
    out[at] = static_cast<std::uint32_t>(i);
  }
};

template <typename Scores>
void find_threshold(Operation& operation, const Scores& scores, std::int64_t count,
                    std::int64_t wanted, std::uint64_t varying, RadixSelection* selection) {
  constexpr int kPasses = kHighestShift / kDigitBits + 1;
  auto* totals = operation.take<std::uint32_t>(kPasses * kDigits);
  operation.zero(totals, sizeof(std::uint32_t) * kPasses * kDigits);
  operation.zero(selection, sizeof(RadixSelection));
  bool first = true;
  for (int shift = kHighestShift; shift >= 0; shift -= kDigitBits, totals += kDigits) {
    if ((varying >> shift & (kDigits - 1)) == 0) continue;
    const std::int64_t blocks = blocks_for(count, kRadixThreads * kRadixUnroll);
    operation.launch({std::min(blocks, kRadixBlocks), kRadixThreads}, count_digits_kernel<Scores>,
                     scores, count, selection, shift, totals);
    operation.launch({1, kRadixThreads}, find_digit_kernel, totals, shift, first, wanted,
                     selection);
    first = false;
  }
}

}  // namespace internal

// Device memory of the operation.
struct Lowest {
  const RadixSelection* selection = nullptr;
  // [wanted], the first `found` used: those below the threshold, then those at it, each ascending.
  const std::uint32_t* indices = nullptr;
};

// The `wanted` lowest of the scores of indices below `count`. varying: the bits that may be set in
// some score; digits without any need no pass. REQUIRES 1 <= wanted <= count < 2^32, varying != 0.
template <typename Scores>
Lowest select_lowest(Operation& operation, const Scores& scores, std::int64_t count,
                     std::int64_t wanted, std::uint64_t varying) {
  auto* selection = operation.take<RadixSelection>(1);
  internal::find_threshold(operation, scores, count, wanted, varying, selection);
  auto* indices = operation.take<std::uint32_t>(wanted);
  const internal::ChooseLowest<Scores> choose{scores, selection};
  const internal::TakeLowest take{selection, indices};
  take_indices(operation, count_indices(operation, count, choose), choose, take);
  return {selection, indices};
}

}  // namespace mneme::kernels::cuda
