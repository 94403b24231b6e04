// Operation select_victims: the slots with the lowest scores (kernels/slot_scores.h) and the
// bookkeeping of the hand for clock and sieve.
#include <algorithm>

#include "kernels/cuda/count_one.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/radix_select.h"
#include "kernels/slot_scores.h"
#include "kernels/slot_updates.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 1056;  // eight a multiprocessor of large devices

// Places in the order of the queue; in device memory.
struct Hand {
  std::uint64_t place;    // where the hand stands
  std::uint64_t nearest;  // where it stops
};

template <ReplacementKind kKind>
struct Scores {
  SlotTable table;
  SelectVictimsArgs args;
  const Hand* hand;
  std::uint64_t hand_place = 0;

  __device__ void load() { hand_place = hand->place; }
  // Without branches around loads: many slots are in flight.
  __device__ __forceinline__ std::uint64_t operator()(std::int64_t i) const {
    const auto slot = static_cast<SlotId>(i);
    const bool occupied = table.occupied[slot] != 0;
    const bool leased = table.leased[slot] >= args.first_live_lease;
    const std::uint64_t score = slot_scores::score(table, kKind, args, slot, hand_place);
    return occupied & !leased ? score : kNoScore;
  }
};

// The bits that may be set in scores of a policy.
std::uint64_t varying_bits(const SlotTable& table, ReplacementKind kind) {
  const std::uint64_t used_now = slot_scores::used_now(kind);
  constexpr std::uint64_t kSlot = (std::uint64_t{1} << slot_scores::kSlotBits) - 1;
  const std::uint64_t hand = used_now | slot_scores::kReferenced | slot_scores::kWrapped;
  switch (kind) {
    case ReplacementKind::kLru:
    case ReplacementKind::kLfu:
    case ReplacementKind::kBelady:
    case ReplacementKind::kRandom:
      return used_now | (used_now - 1);
    case ReplacementKind::kClock:
      return hand | kSlot;
    case ReplacementKind::kSieve:
      return table.inserted != nullptr ? ~std::uint64_t{0} : hand | kSlot;
    case ReplacementKind::kStaticHot:
      break;
  }
  return ~std::uint64_t{0};
}

__global__ void begin_kernel(SlotTable table, SelectVictimsArgs args, Hand* hand) {
  *hand = {0, slot_scores::kNowhere};
  if (slot_scores::has_hand(args.kind)) {
    hand->place = slot_scores::queue_place(table, args.kind, *args.hand % table.slots);
  }
  *args.count = 0;
}

// The hand sweeps up to the last victim. The victims are still bound.
template <typename Scores>
__global__ void sweep_kernel(Scores scores, const RadixSelection* selection) {
  const std::int64_t slot = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (slot >= scores.table.slots || selection->found == 0) return;
  scores.load();
  const std::uint64_t score = scores(slot);
  if (score == kNoScore) return;
  if (slot_scores::hand_clears(score, selection->threshold)) scores.table.referenced[slot] = 0;
}

// Unbinds the victims and lists them.
__global__ void unbind_kernel(SlotTable table, SelectVictimsArgs args,
                              const RadixSelection* selection, const SlotId* victims) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i == 0) *args.count = selection->found;
  if (i >= selection->found) return;
  const SlotId slot = victims[i];
  const RowId row = table.row_of_slot[slot];
  args.slots[i] = slot;
  args.rows[i] = row;
  const std::uint8_t state = table.state[slot];
  args.state[i] = state;
  if (args.last_used != nullptr) args.last_used[i] = table.last_used[slot];
  if (args.step_used != nullptr) args.step_used[i] = table.step_used[slot];
  if (args.frequency != nullptr) args.frequency[i] = table.frequency[slot];
  if (args.uses != nullptr) args.uses[i] = table.uses[slot];
  slot_updates::unbind(table, row, slot, state);
  if ((state & kPrefetched) != 0) count_one(&table.totals->prefetch_wasted);
}

// Finds the place nearest behind the last victim.
__global__ void find_nearest_kernel(SlotTable table, ReplacementKind kind,
                                    const RadixSelection* selection, Hand* hand) {
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
  atomicMin(reinterpret_cast<unsigned long long*>(&hand->nearest),
            static_cast<unsigned long long>(nearest));
}

__global__ void set_hand_kernel(const RadixSelection* selection, const Hand* hand,
                                std::uint32_t* out) {
  if (selection->found != 0) *out = slot_scores::hand_at(hand->nearest);
}

template <ReplacementKind kKind>
void select(Operation& operation, const SlotTable& table, const SelectVictimsArgs& args) {
  auto* hand = operation.take<Hand>(1);
  operation.launch({1, 1}, begin_kernel, table, args, hand);
  const std::int64_t wanted = std::min<std::int64_t>(args.wanted, table.slots);
  if (wanted == 0) return;

  const Scores<kKind> scores{table, args, hand};
  const Lowest lowest =
      select_lowest(operation, scores, table.slots, wanted, varying_bits(table, kKind));
  const Grid each_slot{blocks_for(table.slots, kThreads), kThreads};
  if constexpr (slot_scores::has_hand(kKind)) {
    operation.launch(each_slot, sweep_kernel<Scores<kKind>>, scores, lowest.selection);
  }
  operation.launch({blocks_for(wanted, kThreads), kThreads}, unbind_kernel, table, args,
                   lowest.selection, lowest.indices);
  if constexpr (slot_scores::has_hand(kKind)) {
    operation.launch({std::min(each_slot.blocks, kMostBlocks), kThreads}, find_nearest_kernel,
                     table, kKind, lowest.selection, hand);
    operation.launch({1, 1}, set_hand_kernel, lowest.selection, hand, args.hand);
  }
}

}  // namespace

void CudaBackend::select_victims(Stream& stream, const SlotTable& table,
                                 const SelectVictimsArgs& args) {
  CHECK(table.slots >= 1 && slot_updates::is_table(table));
  CHECK(args.wanted >= 0 && args.slots != nullptr && args.rows != nullptr &&
        args.state != nullptr && args.count != nullptr);
  CHECK((args.uses == nullptr && args.kind != ReplacementKind::kStaticHot) ||
        table.uses != nullptr);
  CHECK(args.kind != ReplacementKind::kBelady || args.next_use != nullptr);
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
    case ReplacementKind::kBelady:
      return select<ReplacementKind::kBelady>(operation, table, args);
  }
}

}  // namespace mneme::kernels::cuda
