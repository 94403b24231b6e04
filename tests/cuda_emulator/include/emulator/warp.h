// Where the threads of a block meet: barriers and warp collectives. Threads switch only here.
//
// A collective is done once every lane of its mask that has not exited is in a collective with the
// same mask; these must be the same operation. A block in which nobody can run any more aborts the
// process with a message that says which threads wait where. Values that CUDA leaves undefined
// (from lanes outside of the mask, or that have exited) have all bits set.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include <emulator/language.h>

namespace emulator {

// ThreadSanitizer does not know fences, but it knows that all changes of one number are ordered.
inline void fence() {
#if defined(__SANITIZE_THREAD__)
  static int order = 0;
  __atomic_fetch_add(&order, 1, __ATOMIC_SEQ_CST);
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

}  // namespace emulator

void __syncthreads();
int __syncthreads_count(int predicate);
int __syncthreads_and(int predicate);
int __syncthreads_or(int predicate);
void __syncwarp(unsigned mask = 0xffffffffu);

// The lanes of the warp that have not exited: they count as converged wherever they are.
unsigned __activemask();

unsigned __ballot_sync(unsigned mask, int predicate);
int __any_sync(unsigned mask, int predicate);
int __all_sync(unsigned mask, int predicate);

unsigned __reduce_add_sync(unsigned mask, unsigned value);
unsigned __reduce_min_sync(unsigned mask, unsigned value);
unsigned __reduce_max_sync(unsigned mask, unsigned value);
unsigned __reduce_and_sync(unsigned mask, unsigned value);
unsigned __reduce_or_sync(unsigned mask, unsigned value);
unsigned __reduce_xor_sync(unsigned mask, unsigned value);
int __reduce_add_sync(unsigned mask, int value);
int __reduce_min_sync(unsigned mask, int value);
int __reduce_max_sync(unsigned mask, int value);

inline void __threadfence() {
  emulator::fence();
}
inline void __threadfence_block() {
  emulator::fence();
}
inline void __threadfence_system() {
  emulator::fence();
}

namespace emulator {

// The calling thread's lane within its warp.
unsigned lane();

// The value of lane `source` for the calling lane.
std::uint64_t shuffle(unsigned mask, std::uint64_t value, unsigned source);
// The lanes of the mask whose value is that of the calling lane.
unsigned match(unsigned mask, std::uint64_t value);

template <typename T>
std::uint64_t to_bits(T value) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "warp collectives move values of 4 or 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <typename T>
T shuffle_from(unsigned mask, T value, unsigned source) {
  const std::uint64_t bits = shuffle(mask, to_bits(value), source);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulator

// `width` is a power of two up to 32: the warp falls into groups of so many lanes.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize) {
  const unsigned group = emulator::lane() & ~(static_cast<unsigned>(width) - 1);
  const unsigned within = static_cast<unsigned>(source) & (static_cast<unsigned>(width) - 1);
  return emulator::shuffle_from(mask, value, group + within);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  const unsigned lane = emulator::lane();
  const unsigned within = lane & (static_cast<unsigned>(width) - 1);
  return emulator::shuffle_from(mask, value, within >= delta ? lane - delta : lane);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  const unsigned lane = emulator::lane();
  const unsigned within = lane & (static_cast<unsigned>(width) - 1);
  const bool inside = delta < static_cast<unsigned>(width) - within;
  return emulator::shuffle_from(mask, value, inside ? lane + delta : lane);
}

// A group may read from groups before it, not from those behind it.
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize) {
  const unsigned lane = emulator::lane();
  const unsigned group_end = (lane & ~(static_cast<unsigned>(width) - 1)) + width;
  const unsigned source = lane ^ static_cast<unsigned>(lane_mask);
  return emulator::shuffle_from(mask, value, source < group_end ? source : lane);
}

template <typename T>
unsigned __match_any_sync(unsigned mask, T value) {
  return emulator::match(mask, emulator::to_bits(value));
}
