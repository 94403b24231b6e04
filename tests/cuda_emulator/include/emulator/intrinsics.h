// Functions of one thread that CUDA has and C++ has not.
#pragma once

// C's header: it makes the functions of <cmath> known in the global namespace, for float as well.
#include <math.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include <emulator/language.h>

// ---- bits ----

constexpr int __popc(unsigned x) {
  return std::popcount(x);
}
constexpr int __popcll(unsigned long long x) {
  return std::popcount(x);
}
constexpr int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
constexpr int __clzll(long long x) {
  return std::countl_zero(static_cast<unsigned long long>(x));
}
// The place of the lowest set bit, from 1; 0 if there is none.
constexpr int __ffs(int x) {
  return __builtin_ffs(x);
}
constexpr int __ffsll(long long x) {
  return __builtin_ffsll(x);
}

constexpr unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= ((x >> i) & 1u) << (31 - i);
  return reversed;
}
constexpr unsigned long long __brevll(unsigned long long x) {
  const auto low = static_cast<unsigned>(x);
  return (static_cast<unsigned long long>(__brev(low)) << 32) |
         __brev(static_cast<unsigned>(x >> 32));
}

// Byte i of the result is byte s_i of y:x, with s_i the i-th nibble of the selector.
constexpr unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const unsigned long long bytes = (static_cast<unsigned long long>(y) << 32) | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned index = (selector >> (4 * i)) & 7u;
    result |= static_cast<unsigned>((bytes >> (8 * index)) & 0xffu) << (8 * i);
  }
  return result;
}

// The upper, or lower, 32 bits of high:low shifted by the lower 5 bits of `shift`.
constexpr unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = (static_cast<unsigned long long>(high) << 32) | low;
  return static_cast<unsigned>((both << (shift & 31u)) >> 32);
}
constexpr unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = (static_cast<unsigned long long>(high) << 32) | low;
  return static_cast<unsigned>(both >> (shift & 31u));
}

constexpr unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
constexpr float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
constexpr int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
constexpr float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
constexpr long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
constexpr double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}

// ---- integers ----

constexpr unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
constexpr int __mulhi(int a, int b) {
  return static_cast<int>((static_cast<long long>(a) * b) >> 32);
}
constexpr unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<unsigned long long>((static_cast<Wide>(a) * b) >> 64);
}
// The lower 32 bits of the product of two numbers' lower 24 bits.
constexpr int __mul24(int a, int b) {
  const auto low = [](int x) {
    return static_cast<long long>(static_cast<unsigned>(x) << 8) << 32 >> 40;
  };
  return static_cast<int>(low(a) * low(b));
}
constexpr unsigned __usad(unsigned a, unsigned b, unsigned sum) {
  return (a > b ? a - b : b - a) + sum;
}

// CUDA has these for pairs of arithmetic types; numbers shorter than int become int.
namespace emulator {
template <typename A, typename B>
concept Comparable = (std::is_integral_v<A> && std::is_integral_v<B>) ||
                     (std::is_floating_point_v<A> && std::is_floating_point_v<B>);
}
template <typename A, typename B>
requires emulator::Comparable<A, B>
constexpr auto min(A a, B b) -> decltype(a + b) {
  using T = decltype(a + b);
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmin(static_cast<T>(a), static_cast<T>(b));
  } else {
    return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(a) : static_cast<T>(b);
  }
}
template <typename A, typename B>
requires emulator::Comparable<A, B>
constexpr auto max(A a, B b) -> decltype(a + b) {
  using T = decltype(a + b);
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmax(static_cast<T>(a), static_cast<T>(b));
  } else {
    return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
  }
}

// ---- floating point ----
// The approximate ones (__expf, ...) are exact here; the rounded ones are never contracted.

namespace emulator {
// The compiler may not look through it.
inline float rounded(float x) {
  __asm__("" : "+x"(x));
  return x;
}
inline double rounded(double x) {
  __asm__("" : "+x"(x));
  return x;
}
}  // namespace emulator

inline float __fadd_rn(float a, float b) {
  return emulator::rounded(a + b);
}
inline float __fsub_rn(float a, float b) {
  return emulator::rounded(a - b);
}
inline float __fmul_rn(float a, float b) {
  return emulator::rounded(a * b);
}
inline float __fdiv_rn(float a, float b) {
  return emulator::rounded(a / b);
}
inline float __fmaf_rn(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
inline double __dadd_rn(double a, double b) {
  return emulator::rounded(a + b);
}
inline double __dmul_rn(double a, double b) {
  return emulator::rounded(a * b);
}
inline double __fma_rn(double a, double b, double c) {
  return __builtin_fma(a, b, c);
}
inline float __frcp_rn(float x) {
  return emulator::rounded(1.0f / x);
}
inline float __fsqrt_rn(float x) {
  return emulator::rounded(std::sqrt(x));
}
inline float __frsqrt_rn(float x) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x)));
}
inline float rsqrtf(float x) {
  return __frsqrt_rn(x);
}
inline double rsqrt(double x) {
  return 1.0 / std::sqrt(x);
}
inline float rsqrt(float x) {
  return rsqrtf(x);
}

inline float __expf(float x) {
  return std::exp(x);
}
inline float __exp10f(float x) {
  return static_cast<float>(std::pow(10.0, x));
}
inline float __logf(float x) {
  return std::log(x);
}
inline float __log2f(float x) {
  return std::log2(x);
}
inline float __powf(float x, float y) {
  return std::pow(x, y);
}
inline float __sinf(float x) {
  return std::sin(x);
}
inline float __cosf(float x) {
  return std::cos(x);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __saturatef(float x) {
  return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;
}

// The sine and cosine of pi * x, exact where they are 0, 1 or -1.
double sinpi(double x);
double cospi(double x);
float sinpif(float x);
float cospif(float x);
inline void sincospi(double x, double* sine, double* cosine) {
  *sine = sinpi(x);
  *cosine = cospi(x);
}
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = sinpif(x);
  *cosine = cospif(x);
}

constexpr float __int2float_rn(int x) {
  return static_cast<float>(x);
}
constexpr float __uint2float_rn(unsigned x) {
  return static_cast<float>(x);
}
inline int __float2int_rn(float x) {
  return static_cast<int>(std::nearbyint(x));
}
constexpr int __float2int_rz(float x) {
  return static_cast<int>(x);
}
inline int __float2int_rd(float x) {
  return static_cast<int>(std::floor(x));
}

// ---- loads and stores with a hint for the caches ----

template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
template <typename T>
T __ldcg(const T* address) {
  return *address;
}
template <typename T>
T __ldca(const T* address) {
  return *address;
}
template <typename T>
T __ldcv(const T* address) {
  return *address;
}
template <typename T>
T __ldlu(const T* address) {
  return *address;
}
template <typename T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <typename T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <typename T>
void __stwb(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <typename T>
void __stwt(T* address, std::type_identity_t<T> value) {
  *address = value;
}

inline void __nanosleep(unsigned) {}
// Ends the kernel thread. The device has failed for good: what waits for it gets
// cudaErrorLaunchFailure.
[[noreturn]] void __trap();
