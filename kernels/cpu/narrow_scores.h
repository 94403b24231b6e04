// The victims of lru, lfu and belady on the CPU. Their scores have eleven bits, so that a histogram
// of them fits into the first-level cache: one pass over the slots computes and counts them, one
// pass over the scores (two bytes a slot) lists the victims.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/slot_scores.h"

namespace mneme::kernels::cpu::narrow_scores {

inline constexpr std::int64_t kScores = 2 * slot_scores::kAgeClasses;
inline constexpr std::uint16_t kStays = 0xffff;  // of a slot that may not go
inline constexpr std::int64_t kChunkSlots = 8192, kMostChunks = 16;
inline constexpr std::int64_t kTables = 4, kCounts = kScores + 1;  // the last one: kStays

// slot_scores::age_class() without branches, for vector units that convert signed integers only:
// half an age has the same upper bits behind its leading one, and an exponent less.
inline std::uint32_t age_class(std::uint32_t age) {
  constexpr std::uint32_t kExact = 64, kFirst = (127 + 6) << 5;
  const auto half = static_cast<float>(static_cast<std::int32_t>(age >> 1));
  const std::uint32_t coarse = (std::bit_cast<std::uint32_t>(half) >> 18) + 32 - kFirst + kExact;
  return age < kExact ? age : coarse;
}

template <ReplacementKind kKind>
void score(const SlotTable& table, const SelectVictimsArgs& args, std::int64_t begin,
           std::int64_t end, std::uint16_t* scores) {
  constexpr auto kOldest = static_cast<std::uint32_t>(slot_scores::kAgeClasses - 1);
  constexpr auto kUsedNow = static_cast<std::uint32_t>(slot_scores::used_now(kKind));
  const std::uint8_t* const occupied = table.occupied;
  const std::uint32_t* const leased = table.leased;
  const std::uint32_t* const last_used = table.last_used;
  const std::uint32_t* const step_used = table.step_used;
  const std::uint8_t* const state = table.state;
  const float* const frequency = table.frequency;
  const std::uint32_t now = args.use_counter, step = args.step, live = args.first_live_lease;
  for (std::int64_t slot = begin; slot < end; ++slot) {
    const bool stays = (occupied[slot] == 0) | (leased[slot] >= live);
    std::uint32_t worth = 0;
    if constexpr (kKind == ReplacementKind::kBelady) {
      const RowId row = stays ? 0 : table.row_of_slot[slot];
      worth = kOldest - age_class(args.next_use[row] - args.now);
    } else {
      const std::uint32_t age = age_class(now - last_used[slot]);
      std::uint32_t distance = age;
      if constexpr (kKind == ReplacementKind::kLfu) {
        const std::uint32_t counted = use_history::counted_step(state[slot], step_used[slot]);
        distance = age_class(use_history::shortfall(counted, frequency[slot], step));
      }
      const std::uint32_t in_step = (state[slot] & kHinted) != 0 ? kOldest : age;
      worth = step_used[slot] >= step ? in_step | kUsedNow : kOldest - distance;
    }
    scores[slot] = static_cast<std::uint16_t>(stays ? kStays : worth);
  }
}

// How many slots of [begin, end) have each score, kStays left out. Neighbours often have the same:
// four tables, so that no count waits for the one before.
inline void count_scores(const std::uint16_t* scores, std::int64_t begin, std::int64_t end,
                         std::uint32_t* counts) {
  std::int64_t slot = begin;
  for (; slot + kTables <= end; slot += kTables) {
    for (std::int64_t t = 0; t < kTables; ++t) {
      const std::uint16_t value = scores[slot + t];
      ++counts[t * kCounts + std::min<std::uint16_t>(value, kScores)];
    }
  }
  for (; slot < end; ++slot) ++counts[std::min<std::uint16_t>(scores[slot], kScores)];
}

// Calls use(slot) for each slot of [begin, end) whose score is at most `limit`, ascending.
template <typename Use>
void for_each_at_most(const std::uint16_t* scores, std::int64_t begin, std::int64_t end,
                      std::uint16_t limit, const Use& use) {
  constexpr std::int64_t kLanes = 16;
  const __m256i limits = _mm256_set1_epi16(static_cast<short>(limit));
  std::int64_t slot = begin;
  for (; slot + kLanes <= end; slot += kLanes) {
    const __m256i these = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scores + slot));
    const __m256i at_most = _mm256_cmpeq_epi16(_mm256_min_epu16(these, limits), these);
    auto mask = static_cast<std::uint32_t>(_mm256_movemask_epi8(at_most)) & 0x55555555u;
    for (; mask != 0; mask &= mask - 1) use(slot + std::countr_zero(mask) / 2);
  }
  for (; slot < end; ++slot) {
    if (scores[slot] <= limit) use(slot);
  }
}

struct Victims {
  const SlotId* slots = nullptr;  // first those below the threshold, then those at it; ascending
  std::int64_t count = 0;
};

// The up to `wanted` slots of the lowest scores.
template <ReplacementKind kKind>
Victims select(const SlotTable& table, const SelectVictimsArgs& args, Scratch& scratch) {
  constexpr std::int64_t kBlock = 1024;
  const std::int64_t slots = table.slots;
  const std::int64_t chunk =
      std::max<std::int64_t>(kChunkSlots, (slots + kMostChunks - 1) / kMostChunks);
  const std::int64_t chunks = chunk_count(slots, chunk);
  auto* const scores = scratch.take<std::uint16_t>(slots);
  auto* const counts = scratch.take<std::uint32_t>(chunks * kTables * kCounts);
  parallel_tasks(chunks, [=](std::int64_t index) {
    std::uint32_t* const mine = counts + index * kTables * kCounts;
    std::memset(mine, 0, sizeof(std::uint32_t) * kTables * kCounts);
    const std::int64_t end = std::min(slots, (index + 1) * chunk);
    for (std::int64_t at = index * chunk; at < end; at += kBlock) {
      const std::int64_t block_end = std::min(end, at + kBlock);
      score<kKind>(table, args, at, block_end, scores);
      count_scores(scores, at, block_end, mine);
    }
    for (std::int64_t i = kCounts; i < kTables * kCounts; ++i) mine[i % kCounts] += mine[i];
  });
  const auto of_chunk = [=](std::int64_t c, std::int64_t value) {
    return std::int64_t{counts[c * kTables * kCounts + value]};
  };

  // How many victims there are, the score of the last one, and how many of that score.
  std::int64_t found = 0, threshold = 0, at_threshold = 0;
  for (std::int64_t value = 0; value < kScores && found < args.wanted; ++value) {
    std::int64_t these = 0;
    for (std::int64_t c = 0; c < chunks; ++c) these += of_chunk(c, value);
    if (these == 0) continue;
    threshold = value;
    at_threshold = std::min(these, args.wanted - found);
    found += at_threshold;
  }
  if (found == 0) return {};

  auto* const chosen = scratch.take<SlotId>(found);
  auto* const below_before = scratch.take<std::int64_t>(chunks);
  auto* const equal_before = scratch.take<std::int64_t>(chunks);
  std::int64_t below = 0, equal = 0;
  for (std::int64_t c = 0; c < chunks; ++c) {
    below_before[c] = below;
    equal_before[c] = equal;
    for (std::int64_t value = 0; value < threshold; ++value) below += of_chunk(c, value);
    equal += of_chunk(c, threshold);
  }
  const std::int64_t all_below = below;
  parallel_tasks(chunks, [=](std::int64_t index) {
    SlotId* lower = chosen + below_before[index];
    std::int64_t rank = equal_before[index];
    const auto limit = static_cast<std::uint16_t>(threshold);
    const std::int64_t end = std::min(slots, (index + 1) * chunk);
    for_each_at_most(scores, index * chunk, end, limit, [&](std::int64_t slot) {
      if (scores[slot] < limit) {
        *lower++ = static_cast<SlotId>(slot);
      } else if (rank < at_threshold) {
        chosen[all_below + rank++] = static_cast<SlotId>(slot);
      }
    });
  });
  return {chosen, found};
}

}  // namespace mneme::kernels::cpu::narrow_scores
