// Atomic operations of kernels, on device, pinned or shared memory. CUDA's are relaxed; these order
// memory as well, so that a fence and a counter pass data between blocks for ThreadSanitizer too.
// Those on float are left out on purpose: their result depends on the order of threads, which the
// project forbids.
#pragma once

#define MNEME_ATOMIC_OPERATIONS(T)                                                 \
  inline T atomicAdd(T* address, T value) {                                        \
    return __atomic_fetch_add(address, value, __ATOMIC_ACQ_REL);                   \
  }                                                                                \
  inline T atomicExch(T* address, T value) {                                       \
    return __atomic_exchange_n(address, value, __ATOMIC_ACQ_REL);                  \
  }                                                                                \
  inline T atomicCAS(T* address, T compare, T value) {                             \
    __atomic_compare_exchange_n(address, &compare, value, false, __ATOMIC_ACQ_REL, \
                                __ATOMIC_ACQUIRE);                                 \
    return compare;                                                                \
  }
#define MNEME_ATOMIC_SUBTRACTION(T)                              \
  inline T atomicSub(T* address, T value) {                      \
    return __atomic_fetch_sub(address, value, __ATOMIC_ACQ_REL); \
  }
#define MNEME_ATOMIC_BITS(T)                                     \
  inline T atomicAnd(T* address, T value) {                      \
    return __atomic_fetch_and(address, value, __ATOMIC_ACQ_REL); \
  }                                                              \
  inline T atomicOr(T* address, T value) {                       \
    return __atomic_fetch_or(address, value, __ATOMIC_ACQ_REL);  \
  }                                                              \
  inline T atomicXor(T* address, T value) {                      \
    return __atomic_fetch_xor(address, value, __ATOMIC_ACQ_REL); \
  }
#define MNEME_ATOMIC_EXTREMES(T)                                                        \
  inline T atomicMin(T* address, T value) {                                             \
    return emulator::update(address, [=](T old) { return value < old ? value : old; }); \
  }                                                                                     \
  inline T atomicMax(T* address, T value) {                                             \
    return emulator::update(address, [=](T old) { return old < value ? value : old; }); \
  }

namespace emulator {

// Replaces *address by next(*address); gives what it was.
template <typename T, typename Next>
T update(T* address, Next next) {
  T old = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(address, &old, next(old), true, __ATOMIC_ACQ_REL,
                                      __ATOMIC_ACQUIRE)) {
  }
  return old;
}

}  // namespace emulator

// As in CUDA: there is no atomicAdd or atomicExch of long long, and no atomicSub of 64 bits.
MNEME_ATOMIC_OPERATIONS(int)
MNEME_ATOMIC_OPERATIONS(unsigned)
MNEME_ATOMIC_OPERATIONS(unsigned long long)
MNEME_ATOMIC_SUBTRACTION(int)
MNEME_ATOMIC_SUBTRACTION(unsigned)
MNEME_ATOMIC_BITS(int)
MNEME_ATOMIC_BITS(unsigned)
MNEME_ATOMIC_BITS(unsigned long long)
MNEME_ATOMIC_EXTREMES(int)
MNEME_ATOMIC_EXTREMES(unsigned)
MNEME_ATOMIC_EXTREMES(long long)
MNEME_ATOMIC_EXTREMES(unsigned long long)

#undef MNEME_ATOMIC_OPERATIONS
#undef MNEME_ATOMIC_SUBTRACTION
#undef MNEME_ATOMIC_BITS
#undef MNEME_ATOMIC_EXTREMES

// Counts up to `last`, then starts at 0 again.
inline unsigned atomicInc(unsigned* address, unsigned last) {
  return emulator::update(address, [=](unsigned old) { return old >= last ? 0 : old + 1; });
}
inline unsigned atomicDec(unsigned* address, unsigned last) {
  return emulator::update(address,
                          [=](unsigned old) { return old == 0 || old > last ? last : old - 1; });
}
