// Operation select_victims: a radix select over the slots' scores (kernels/slot_scores.h), a sort
// of the lowest, and the bookkeeping of the hand for clock and sieve. Nothing is kept for each
// slot: a pass over the slots works the scores out again, which reads about as much as a list of
// them.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/take_indices.h"
#include "kernels/slot_scores.h"
#include "kernels/slot_updates.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 1056;  // eight for each multiprocessor of the largest devices
constexpr int kUnroll = 4;                  // slots of a thread whose loads are in flight

constexpr int kDigitBits = 11;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kHighestShift = 55;  // 55, 44, 33, 22, 11, 0: the 64 bits of a score

// What a selection has found so far, in device memory.
struct Selection {
  std::uint64_t threshold;   // the digits found so far; in the end the last victim's score
  std::uint64_t hand_place;  // where the hand stands
  std::uint64_t nearest;     // the place where it stops
  std::uint32_t equal;       // how many of the scores that start with `threshold` are wanted
  std::uint32_t found;       // victims
};

template <ReplacementKind kKind>
struct Scores {
  SlotTable table;
  SelectVictimsArgs args;

  // kNowhere for a slot that stays. Without branches around loads: many slots are in flight.
  __device__ __forceinline__ std::uint64_t operator()(SlotId slot, std::uint64_t hand_place) const {
    const std::uint8_t occupied = table.occupied[slot];
    const std::uint32_t leased = table.leased[slot];
    const std::uint64_t score = slot_scores::score(table, kKind, args, slot, hand_place);
    const bool may_go = occupied != 0 && leased < args.first_live_lease;
    return may_go ? score : slot_scores::kNowhere;
  }
};

// The bits in which scores of a policy may differ: digits of other bits need no pass.
std::uint64_t varying_bits(const SlotTable& table, ReplacementKind kind) {
  constexpr std::uint64_t kWord = 0xffffffffu;
  constexpr std::uint64_t kSlot = (std::uint64_t{1} << slot_scores::kSlotBits) - 1;
  constexpr std::uint64_t kHand =
      slot_scores::kUsedNow | slot_scores::kReferenced | slot_scores::kWrapped;
  switch (kind) {
    case ReplacementKind::kLru:
    case ReplacementKind::kRandom:
      return slot_scores::kUsedNow | kWord;
    case ReplacementKind::kClock:
      return kHand | kSlot;
    case ReplacementKind::kSieve:
      return table.inserted != nullptr ? ~std::uint64_t{0} : kHand | kSlot;
    case ReplacementKind::kLfu:
    case ReplacementKind::kStaticHot:
      break;
  }
  return ~std::uint64_t{0};
}

__global__ void begin_kernel(SlotTable table, SelectVictimsArgs args, Selection* selection) {
  const std::uint64_t hand_place =
      slot_scores::has_hand(args.kind)
          ? slot_scores::queue_place(table, args.kind, *args.hand % table.slots)
          : 0;
  const auto most = static_cast<std::uint32_t>(min(args.wanted, std::int64_t{table.slots}));
  *selection = {0, hand_place, slot_scores::kNowhere, most, 0};
  *args.count = 0;
}

// Adds one to the count of the digit, for the lanes with `counts`. All lanes of the warp call it.
// Neighbouring slots often have one digit: those that agree with the first lane are counted
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

// totals[d] += the slots whose score agrees with the threshold above the digit at `shift` and has d
// there. totals: [kDigits].
template <typename Scores>
__global__ void __launch_bounds__(kThreads)
    count_digits_kernel(Scores scores, const Selection* selection, int shift,
                        std::uint32_t* totals) {
  __shared__ std::uint32_t counts[kDigits];
  for (int digit = threadIdx.x; digit < kDigits; digit += kThreads) counts[digit] = 0;
  __syncthreads();
  const std::uint64_t threshold = selection->threshold, hand_place = selection->hand_place;
  const std::uint64_t above =
      shift == kHighestShift ? 0 : ~std::uint64_t{0} << (shift + kDigitBits);
  const std::int64_t slots = scores.table.slots;
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads * kUnroll;
  for (std::int64_t start = std::int64_t{blockIdx.x} * kThreads * kUnroll; start < slots;
       start += step) {
    std::uint64_t score[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const std::int64_t slot = start + u * kThreads + threadIdx.x;
      score[u] = scores(static_cast<SlotId>(slot < slots ? slot : slots - 1), hand_place);
      if (slot >= slots) score[u] = slot_scores::kNowhere;
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      count_digit(counts,
                  score[u] != slot_scores::kNowhere && ((score[u] ^ threshold) & above) == 0,
                  static_cast<std::uint32_t>(score[u] >> shift) & (kDigits - 1));
    }
  }
  __syncthreads();
  for (int digit = threadIdx.x; digit < kDigits; digit += kThreads) {
    if (counts[digit] != 0) atomicAdd(totals + digit, counts[digit]);
  }
}

// The sum of x over the threads of the block before this one. shared: [kThreads / kWarp].
__device__ std::uint32_t sum_before(std::uint32_t x, std::uint32_t* shared) {
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

// Finds the digit that the last victim's score has at `shift`: one block. first: no digit was found
// before, and the totals are those of all slots that may go.
__global__ void __launch_bounds__(kThreads)
    find_digit_kernel(const std::uint32_t* totals, int shift, bool first, Selection* selection) {
  constexpr int kOwn = kDigits / kThreads;
  __shared__ std::uint32_t warp_sums[kThreads / kWarp];
  __shared__ std::uint32_t candidates;
  std::uint32_t own[kOwn], sum = 0;
#pragma unroll
  for (int d = 0; d < kOwn; ++d) sum += own[d] = totals[threadIdx.x * kOwn + d];
  std::uint32_t before = sum_before(sum, warp_sums);
  if (threadIdx.x == kThreads - 1) candidates = before + sum;
  const std::uint32_t most = selection->equal;
  __syncthreads();
  const std::uint32_t wanted = first ? min(most, candidates) : most;
  if (first && threadIdx.x == 0) selection->found = wanted;
  if (wanted == 0) {
    if (threadIdx.x == 0) selection->equal = 0;
    return;
  }
  if (wanted <= before || wanted > before + sum) return;
#pragma unroll
  for (int d = 0; d < kOwn; ++d) {
    if (wanted > before && wanted <= before + own[d]) {
      selection->threshold |= (std::uint64_t{threadIdx.x} * kOwn + d) << shift;
      selection->equal = wanted - before;
    }
    before += own[d];
  }
}

// Picks the slots below the threshold, and those at it as a second class.
template <typename Scores>
struct ChooseVictims {
  static constexpr int kClasses = 2;
  Scores scores;
  const Selection* selection;
  std::uint64_t threshold = 0, hand_place = 0;

  __device__ void load() {
    threshold = selection->threshold;
    hand_place = selection->hand_place;
  }
  __device__ std::uint64_t operator()(std::int64_t slot) const {
    const std::uint64_t score = scores(static_cast<SlotId>(slot), hand_place);
    return score < threshold ? kFirst : score == threshold ? kSecond : kNone;
  }
};

// Writes the victims in the order of slots, those at the threshold behind the others; of these, the
// first ones are enough.
template <typename Scores>
struct TakeVictims {
  Scores scores;
  const Selection* selection;
  std::uint64_t* victim_scores;
  SlotId* victims;
  std::uint64_t hand_place = 0;
  std::uint32_t equal = 0, below = 0;

  __device__ void load() {
    hand_place = selection->hand_place;
    equal = selection->equal;
    below = selection->found - equal;
  }
  __device__ void operator()(std::int64_t i, std::uint64_t chosen, std::uint32_t rank) const {
    if (chosen == kSecond && rank >= equal) return;
    const std::uint32_t at = chosen == kSecond ? below + rank : rank;
    victim_scores[at] = scores(static_cast<SlotId>(i), hand_place);
    victims[at] = static_cast<SlotId>(i);
  }
};

// Fills what is wanted beyond the victims found, so that a sort leaves it behind them.
__global__ void pad_kernel(const Selection* selection, std::int64_t wanted,
                           std::uint64_t* victim_scores, SlotId* victims) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  const std::int64_t first = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (std::int64_t i = selection->found + first; i < wanted; i += step) {
    victim_scores[i] = slot_scores::kNowhere;
    victims[i] = kNoSlot;
  }
}

// The hand sweeps up to the last victim. The victims are still bound.
template <typename Scores>
__global__ void sweep_kernel(Scores scores, const Selection* selection) {
  const std::int64_t slot = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (slot >= scores.table.slots || selection->found == 0) return;
  const std::uint64_t score = scores(static_cast<SlotId>(slot), selection->hand_place);
  if (score == slot_scores::kNowhere) return;
  if (slot_scores::hand_clears(score, selection->threshold)) scores.table.referenced[slot] = 0;
}

// Unbinds the victims and hands them to the host.
__global__ void unbind_kernel(SlotTable table, SelectVictimsArgs args, const Selection* selection,
                              const SlotId* victims) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i == 0) *args.count = selection->found;
  if (i >= selection->found) return;
  const SlotId slot = victims[i];
  const RowId row = table.row_of_slot[slot];
  args.slots[i] = slot;
  args.rows[i] = row;
  args.dirty[i] = table.dirty[slot];
  slot_updates::unbind(table, row, slot);
}

// Finds the place nearest behind the last victim.
__global__ void find_nearest_kernel(SlotTable table, ReplacementKind kind, Selection* selection) {
  if (selection->found == 0) return;
  const std::uint64_t last_score = selection->threshold;
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  std::uint64_t nearest = slot_scores::kNowhere;
  for (std::int64_t slot = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; slot < table.slots;
       slot += step) {
    nearest =
        min(nearest, slot_scores::place_after(table, kind, static_cast<SlotId>(slot), last_score));
  }
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    nearest = min(nearest, __shfl_xor_sync(kAllLanes, nearest, offset));
  }
  if (threadIdx.x % kWarp != 0) return;
  static_assert(sizeof(unsigned long long) == sizeof(std::uint64_t));
  atomicMin(reinterpret_cast<unsigned long long*>(&selection->nearest),
            static_cast<unsigned long long>(nearest));
}

__global__ void set_hand_kernel(const Selection* selection, std::uint32_t* hand) {
  if (selection->found != 0) *hand = slot_scores::hand_at(selection->nearest);
}

Grid over_slots(const SlotTable& table, std::int64_t slots_of_block) {
  return {std::min(blocks_for(table.slots, slots_of_block), kMostBlocks), kThreads};
}

// Finds the last victim's score.
template <typename Scores>
void find_threshold(Operation& operation, const Scores& scores, Selection* selection) {
  const std::uint64_t varying = varying_bits(scores.table, scores.args.kind);
  constexpr int kPasses = kHighestShift / kDigitBits + 1;
  auto* totals = operation.take<std::uint32_t>(kPasses * kDigits);
  operation.zero(totals, sizeof(std::uint32_t) * kPasses * kDigits);
  for (int shift = kHighestShift; shift >= 0; shift -= kDigitBits, totals += kDigits) {
    if ((varying >> shift & (kDigits - 1)) == 0) continue;
    operation.launch(over_slots(scores.table, kThreads * kUnroll), count_digits_kernel<Scores>,
                     scores, selection, shift, totals);
    operation.launch({1, kThreads}, find_digit_kernel, totals, shift, shift == kHighestShift,
                     selection);
  }
}

template <ReplacementKind kKind>
void select(Operation& operation, const SlotTable& table, const SelectVictimsArgs& args) {
  auto* selection = operation.take<Selection>(1);
  operation.launch({1, 1}, begin_kernel, table, args, selection);
  const std::int64_t wanted = std::min<std::int64_t>(args.wanted, table.slots);
  if (wanted == 0) return;

  const Scores<kKind> scores{table, args};
  find_threshold(operation, scores, selection);
  auto* victim_scores = operation.take<std::uint64_t>(wanted);
  auto* victims = operation.take<SlotId>(wanted);
  const ChooseVictims<Scores<kKind>> choose{scores, selection};
  const TileCounts counts = count_indices(operation, table.slots, choose);
  take_indices(operation, counts, choose,
               TakeVictims<Scores<kKind>>{scores, selection, victim_scores, victims});
  operation.launch({std::min(blocks_for(wanted, kThreads), kMostBlocks), kThreads}, pad_kernel,
                   selection, wanted, victim_scores, victims);
  // Stable: ties keep the order of slots.
  with_policy(operation, [&](const auto& policy) {
    algorithms::sort_pairs(policy, victim_scores, victims, wanted);
  });

  const Grid each_slot{blocks_for(table.slots, kThreads), kThreads};
  if constexpr (slot_scores::has_hand(kKind)) {
    operation.launch(each_slot, sweep_kernel<Scores<kKind>>, scores, selection);
  }
  operation.launch({blocks_for(wanted, kThreads), kThreads}, unbind_kernel, table, args, selection,
                   victims);
  if constexpr (slot_scores::has_hand(kKind)) {
    operation.launch(over_slots(table, kThreads * kUnroll), find_nearest_kernel, table, kKind,
                     selection);
    operation.launch({1, 1}, set_hand_kernel, selection, args.hand);
  }
}

}  // namespace

void CudaBackend::select_victims(Stream& stream, const SlotTable& table,
                                 const SelectVictimsArgs& args) {
  CHECK(table.slots >= 1 && table.slots <= std::uint32_t{1} << slot_scores::kSlotBits);
  CHECK(args.wanted >= 0 && args.slots != nullptr && args.rows != nullptr &&
        args.dirty != nullptr && args.count != nullptr);
  CHECK(args.hand != nullptr || !slot_scores::has_hand(args.kind));
  Operation operation(stream, "select_victims");
  switch (args.kind) {
    case ReplacementKind::kLru:
      return select<ReplacementKind::kLru>(operation, table, args);
    case ReplacementKind::kLfu:
      return select<ReplacementKind::kLfu>(operation, table, args);
    case ReplacementKind::kClock:
      return select<ReplacementKind::kClock>(operation, table, args);
    case ReplacementKind::kSieve:
      return select<ReplacementKind::kSieve>(operation, table, args);
    case ReplacementKind::kStaticHot:
      return select<ReplacementKind::kStaticHot>(operation, table, args);
    case ReplacementKind::kRandom:
      return select<ReplacementKind::kRandom>(operation, table, args);
  }
}

}  // namespace mneme::kernels::cuda
