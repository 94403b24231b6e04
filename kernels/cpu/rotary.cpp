// Rotary position embedding.
#include <cmath>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"

namespace mneme::kernels::cpu {
namespace {

// Positions of one task. Sines and cosines of its first position are computed, those of the next
// ones follow by turning in double, whose error over so few steps is far below float's.
constexpr std::int64_t kPositions = 32;

// Tables of one position, all [head_width / 2], and the turn from one position to the next.
struct Turns {
  double* cosine;
  double* sine;
  double* step_cosine;
  double* step_sine;
  float* cosine_f32;
  float* sine_f32;
};

void start_turns(const Turns& turns, const double* frequencies, std::int64_t pairs,
                 std::int64_t position, double direction) {
  for (std::int64_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    turns.cosine[i] = std::cos(angle);
    turns.sine[i] = direction * std::sin(angle);
    turns.step_cosine[i] = std::cos(frequencies[i]);
    turns.step_sine[i] = direction * std::sin(frequencies[i]);
  }
}

// Rounds the current position's table to float and moves on to the next position.
void next_turn(const Turns& turns, std::int64_t pairs) {
  vectorised([=]() MNEME_VECTORISE {
    for (std::int64_t i = 0; i < pairs; ++i) {
      const double c = turns.cosine[i], s = turns.sine[i];
      turns.cosine_f32[i] = static_cast<float>(c);
      turns.sine_f32[i] = static_cast<float>(s);
      turns.cosine[i] = c * turns.step_cosine[i] - s * turns.step_sine[i];
      turns.sine[i] = s * turns.step_cosine[i] + c * turns.step_sine[i];
    }
  });
}

void turn_row(float* row, const Turns& turns, std::int64_t heads, std::int64_t pairs) {
  const float* cosine = turns.cosine_f32;
  const float* sine = turns.sine_f32;
  vectorised([=]() MNEME_VECTORISE {
    for (std::int64_t head = 0; head < heads; ++head) {
      float* __restrict x = row + head * 2 * pairs;
      for (std::int64_t i = 0; i < pairs; ++i) {
        const float even = x[2 * i], odd = x[2 * i + 1];
        x[2 * i] = even * cosine[i] - odd * sine[i];
        x[2 * i + 1] = even * sine[i] + odd * cosine[i];
      }
    }
  });
}

void rotate(const RotaryArgs& args, Scratch& scratch) {
  const std::int64_t pairs = args.head_width / 2;
  double* frequencies = scratch.take<double>(pairs);
  for (std::int64_t i = 0; i < pairs; ++i) {
    frequencies[i] = std::pow(static_cast<double>(args.theta),
                              -2.0 * static_cast<double>(i) / static_cast<double>(args.head_width));
  }
  double* tables = scratch.take<double>(thread_slots() * pairs * 5);
  const std::int64_t blocks = chunk_count(args.sequence, kPositions);
  parallel_tasks(args.batch * blocks, [&](std::int64_t task) {
    double* own = tables + thread_slot() * pairs * 5;
    float* floats = reinterpret_cast<float*>(own + 4 * pairs);
    const Turns turns{own, own + pairs, own + 2 * pairs, own + 3 * pairs, floats, floats + pairs};
    const std::int64_t batch = task / blocks;
    const std::int64_t begin = task % blocks * kPositions;
    const std::int64_t end = std::min(args.sequence, begin + kPositions);
    start_turns(turns, frequencies, pairs, args.first_position + begin, args.inverse ? -1.0 : 1.0);
    for (std::int64_t t = begin; t < end; ++t) {
      next_turn(turns, pairs);
      turn_row(f32(args.x) + (batch * args.sequence + t) * args.stride, turns, args.heads, pairs);
    }
  });
}

}  // namespace

void CpuBackend::rotary(Stream& stream, const RotaryArgs& args) {
  check_float32(args.type);
  CHECK(args.head_width > 0 && args.head_width % 2 == 0, "head width {} is odd", args.head_width);
  CHECK(args.batch >= 0 && args.sequence >= 0 && args.heads >= 0);
  CHECK(args.stride >= args.heads * args.head_width, "row stride {} is too small", args.stride);
  on(stream).enqueue([args](Scratch& scratch) { rotate(args, scratch); });
}

}  // namespace mneme::kernels::cpu
