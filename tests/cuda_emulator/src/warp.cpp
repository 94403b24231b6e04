#include <emulator/warp.h>

#include <bit>

#include "tests/cuda_emulator/src/block_runner.h"

namespace emulator {
namespace {

struct Shuffle {
  std::uint64_t value;
  unsigned source;
  std::uint64_t result;
};

struct Vote {
  bool predicate;
  unsigned active;
  unsigned ballot;
};

struct Match {
  std::uint64_t value;
  unsigned lanes;
};

template <typename T>
struct Reduction {
  T value;
  T result;
};

// Calls visit(lane, data of the lane) for the lanes of the set.
template <typename Data, typename Visit>
void for_lanes(unsigned set, void* const* data, Visit visit) {
  for (; set != 0; set &= set - 1) {
    const int lane = std::countr_zero(set);
    visit(static_cast<unsigned>(lane), *static_cast<Data*>(data[lane]));
  }
}

void run_shuffle(unsigned active, void* const* data) {
  for_lanes<Shuffle>(active, data, [&](unsigned, Shuffle& to) {
    const bool present = to.source < kWarpLanes && ((active >> to.source) & 1u) != 0;
    to.result = present ? static_cast<const Shuffle*>(data[to.source])->value : ~std::uint64_t{0};
  });
}

void run_vote(unsigned active, void* const* data) {
  unsigned ballot = 0;
  for_lanes<Vote>(active, data, [&](unsigned lane, const Vote& vote) {
    ballot |= vote.predicate ? 1u << lane : 0u;
  });
  for_lanes<Vote>(active, data, [&](unsigned, Vote& vote) {
    vote.active = active;
    vote.ballot = ballot;
  });
}

void run_match(unsigned active, void* const* data) {
  for_lanes<Match>(active, data, [&](unsigned, Match& own) {
    own.lanes = 0;
    for_lanes<Match>(active, data, [&](unsigned lane, const Match& other) {
      own.lanes |= other.value == own.value ? 1u << lane : 0u;
    });
  });
}

template <typename T, typename Combine>
void run_reduction(unsigned active, void* const* data) {
  T total = static_cast<const Reduction<T>*>(data[std::countr_zero(active)])->value;
  for_lanes<Reduction<T>>(active & (active - 1), data, [&](unsigned, const Reduction<T>& lane) {
    total = Combine()(total, lane.value);
  });
  for_lanes<Reduction<T>>(active, data, [&](unsigned, Reduction<T>& lane) { lane.result = total; });
}

// Wraps around, for signed numbers as well.
struct Add {
  template <typename T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
  }
};
struct Min {
  template <typename T>
  T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};
struct Max {
  template <typename T>
  T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};
struct And {
  unsigned operator()(unsigned a, unsigned b) const { return a & b; }
};
struct Or {
  unsigned operator()(unsigned a, unsigned b) const { return a | b; }
};
struct Xor {
  unsigned operator()(unsigned a, unsigned b) const { return a ^ b; }
};

constexpr WarpOperation kSyncWarp{"__syncwarp", nullptr};
constexpr WarpOperation kShuffle{"__shfl_sync", run_shuffle};
constexpr WarpOperation kVote{"__ballot_sync, __any_sync or __all_sync", run_vote};
constexpr WarpOperation kMatch{"__match_any_sync", run_match};

template <typename T, typename Combine>
constexpr WarpOperation kReduction{"__reduce_*_sync", run_reduction<T, Combine>};

template <typename Combine, typename T>
T reduce(unsigned mask, T value) {
  Reduction<T> reduction{value, {}};
  BlockRunner::current("__reduce_*_sync").collective(mask, kReduction<T, Combine>, &reduction);
  return reduction.result;
}

Vote vote_on(unsigned mask, int predicate) {
  Vote vote{predicate != 0, 0, 0};
  BlockRunner::current("__ballot_sync").collective(mask, kVote, &vote);
  return vote;
}

int meet(BarrierKind kind, int predicate) {
  return BlockRunner::current("__syncthreads").barrier(kind, predicate != 0);
}

}  // namespace

void* dynamic_shared() {
  return BlockRunner::current("dynamic_shared").dynamic_shared();
}

unsigned lane() {
  return BlockRunner::current("a warp collective").lane();
}

std::uint64_t shuffle(unsigned mask, std::uint64_t value, unsigned source) {
  Shuffle data{value, source, 0};
  BlockRunner::current("__shfl_sync").collective(mask, kShuffle, &data);
  return data.result;
}

unsigned match(unsigned mask, std::uint64_t value) {
  Match data{value, 0};
  BlockRunner::current("__match_any_sync").collective(mask, kMatch, &data);
  return data.lanes;
}

}  // namespace emulator

using emulator::BarrierKind;

void __syncthreads() {
  emulator::meet(BarrierKind::kSync, 0);
}
int __syncthreads_count(int predicate) {
  return emulator::meet(BarrierKind::kCount, predicate);
}
int __syncthreads_and(int predicate) {
  return emulator::meet(BarrierKind::kAnd, predicate);
}
int __syncthreads_or(int predicate) {
  return emulator::meet(BarrierKind::kOr, predicate);
}

void __syncwarp(unsigned mask) {
  emulator::BlockRunner::current("__syncwarp").collective(mask, emulator::kSyncWarp, nullptr);
}

unsigned __activemask() {
  return emulator::BlockRunner::current("__activemask").live_lanes();
}

unsigned __ballot_sync(unsigned mask, int predicate) {
  return emulator::vote_on(mask, predicate).ballot;
}
int __any_sync(unsigned mask, int predicate) {
  return emulator::vote_on(mask, predicate).ballot != 0;
}
int __all_sync(unsigned mask, int predicate) {
  const emulator::Vote vote = emulator::vote_on(mask, predicate);
  return vote.ballot == vote.active;
}

unsigned __reduce_add_sync(unsigned mask, unsigned value) {
  return emulator::reduce<emulator::Add>(mask, value);
}
unsigned __reduce_min_sync(unsigned mask, unsigned value) {
  return emulator::reduce<emulator::Min>(mask, value);
}
unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  return emulator::reduce<emulator::Max>(mask, value);
}
unsigned __reduce_and_sync(unsigned mask, unsigned value) {
  return emulator::reduce<emulator::And>(mask, value);
}
unsigned __reduce_or_sync(unsigned mask, unsigned value) {
  return emulator::reduce<emulator::Or>(mask, value);
}
unsigned __reduce_xor_sync(unsigned mask, unsigned value) {
  return emulator::reduce<emulator::Xor>(mask, value);
}
int __reduce_add_sync(unsigned mask, int value) {
  return emulator::reduce<emulator::Add>(mask, value);
}
int __reduce_min_sync(unsigned mask, int value) {
  return emulator::reduce<emulator::Min>(mask, value);
}
int __reduce_max_sync(unsigned mask, int value) {
  return emulator::reduce<emulator::Max>(mask, value);
}
