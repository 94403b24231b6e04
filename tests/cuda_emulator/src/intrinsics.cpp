#include <emulator/intrinsics.h>

#include <numbers>

// x is brought into [-1, 1] first, without error.
double sinpi(double x) {
  const double rest = std::remainder(x, 2.0);
  if (rest == std::trunc(rest)) return std::copysign(0.0, x);
  if (rest > 0.5) return std::sin(std::numbers::pi * (1.0 - rest));
  if (rest < -0.5) return -std::sin(std::numbers::pi * (1.0 + rest));
  return std::sin(std::numbers::pi * rest);
}

double cospi(double x) {
  const double rest = std::abs(std::remainder(x, 2.0));
  return sinpi(0.5 - rest);
}

float sinpif(float x) {
  return static_cast<float>(sinpi(x));
}

float cospif(float x) {
  return static_cast<float>(cospi(x));
}
