// dim3 and the vector types, aligned as CUDA aligns them.
#pragma once

#define MNEME_VECTOR_TYPES(T, name, align1, align2, align3, align4) \
  struct alignas(align1) name##1 {                                  \
    T x;                                                            \
  };                                                                \
  struct alignas(align2) name##2 {                                  \
    T x, y;                                                         \
  };                                                                \
  struct alignas(align3) name##3 {                                  \
    T x, y, z;                                                      \
  };                                                                \
  struct alignas(align4) name##4 {                                  \
    T x, y, z, w;                                                   \
  };                                                                \
  constexpr name##1 make_##name##1(T x) {                           \
    return {x};                                                     \
  }                                                                 \
  constexpr name##2 make_##name##2(T x, T y) {                      \
    return {x, y};                                                  \
  }                                                                 \
  constexpr name##3 make_##name##3(T x, T y, T z) {                 \
    return {x, y, z};                                               \
  }                                                                 \
  constexpr name##4 make_##name##4(T x, T y, T z, T w) {            \
    return {x, y, z, w};                                            \
  }

// Of types whose alignment is 8 bytes CUDA 13 keeps the vectors of two; those of four have two
// names by alignment, and nothing here needs them.
#define MNEME_WIDE_VECTOR_TYPES(T, name)            \
  struct name##1 {                                  \
    T x;                                            \
  };                                                \
  struct alignas(16) name##2 {                      \
    T x, y;                                         \
  };                                                \
  struct name##3 {                                  \
    T x, y, z;                                      \
  };                                                \
  constexpr name##1 make_##name##1(T x) {           \
    return {x};                                     \
  }                                                 \
  constexpr name##2 make_##name##2(T x, T y) {      \
    return {x, y};                                  \
  }                                                 \
  constexpr name##3 make_##name##3(T x, T y, T z) { \
    return {x, y, z};                               \
  }

MNEME_VECTOR_TYPES(signed char, char, 1, 2, 1, 4)
MNEME_VECTOR_TYPES(unsigned char, uchar, 1, 2, 1, 4)
MNEME_VECTOR_TYPES(short, short, 2, 4, 2, 8)
MNEME_VECTOR_TYPES(unsigned short, ushort, 2, 4, 2, 8)
MNEME_VECTOR_TYPES(int, int, 4, 8, 4, 16)
MNEME_VECTOR_TYPES(unsigned int, uint, 4, 8, 4, 16)
MNEME_VECTOR_TYPES(float, float, 4, 8, 4, 16)
MNEME_WIDE_VECTOR_TYPES(long, long)
MNEME_WIDE_VECTOR_TYPES(unsigned long, ulong)
MNEME_WIDE_VECTOR_TYPES(long long, longlong)
MNEME_WIDE_VECTOR_TYPES(unsigned long long, ulonglong)
MNEME_WIDE_VECTOR_TYPES(double, double)

#undef MNEME_VECTOR_TYPES
#undef MNEME_WIDE_VECTOR_TYPES

struct dim3 {
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }

  unsigned x, y, z;
};
