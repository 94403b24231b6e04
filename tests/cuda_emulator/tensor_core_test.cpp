// Tensor-core instructions against what PTX documents, one element at a time.
#include <bit>
#include <random>

#include "tests/cuda_emulator/test_launch.h"

namespace emulator_test {
namespace {

std::uint32_t upper_half(float x) {
  return std::bit_cast<std::uint32_t>(x) >> 16;
}

// Matrices in shared memory are written by the formulas of the PTX manual, section "Matrix
// Fragments for mma.m16n8k16 with floating point type".
struct Matrices {
  std::uint16_t a[16][16];
  std::uint16_t b[16][8];
  float d[16][8];
};

__global__ void multiply(Matrices* matrices) {
  const int lane = threadIdx.x;
  const int group_id = lane >> 2;
  const int thread_in_group = lane % 4;
  std::uint32_t a[4] = {};
  for (int i = 0; i < 8; ++i) {
    const bool first = i < 2 || (4 <= i && i < 6);
    const int row = first ? group_id : group_id + 8;
    const int column = i < 4 ? thread_in_group * 2 + (i & 1) : thread_in_group * 2 + (i & 1) + 8;
    a[i / 2] |= static_cast<std::uint32_t>(matrices->a[row][column]) << (16 * (i % 2));
  }
  std::uint32_t b[2] = {};
  for (int i = 0; i < 4; ++i) {
    const int row = i < 2 ? thread_in_group * 2 + (i & 1) : thread_in_group * 2 + (i & 1) + 8;
    b[i / 2] |= static_cast<std::uint32_t>(matrices->b[row][group_id]) << (16 * (i % 2));
  }
  float d[4];
  for (int i = 0; i < 4; ++i) {
    const int row = i < 2 ? group_id : group_id + 8;
    d[i] = matrices->d[row][thread_in_group * 2 + (i & 1)];
  }
  emulator::mma_m16n8k16_bf16(d, a, b);
  for (int i = 0; i < 4; ++i) {
    const int row = i < 2 ? group_id : group_id + 8;
    matrices->d[row][thread_in_group * 2 + (i & 1)] = d[i];
  }
}

TEST(TensorCore, MultipliesFragments) {
  std::mt19937 random(7);
  // Whole numbers: every sum is exact.
  const auto number = [&] { return static_cast<float>(static_cast<int>(random() % 17) - 8); };
  Matrices matrices{};
  float a[16][16];
  float b[16][8];
  float expected[16][8];
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      matrices.a[i][j] = static_cast<std::uint16_t>(upper_half(a[i][j] = number()));
    }
    for (int j = 0; j < 8; ++j) {
      matrices.b[i][j] = static_cast<std::uint16_t>(upper_half(b[i][j] = number()));
      matrices.d[i][j] = expected[i][j] = number();
    }
  }
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      for (int k = 0; k < 16; ++k) expected[i][j] += a[i][k] * b[k][j];
    }
  }
  const DeviceArray<Matrices> device(std::vector<Matrices>{matrices});
  check(launch(1, 32, 0, multiply, device.data()));
  const Matrices result = device.values()[0];
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) EXPECT_EQ(result.d[i][j], expected[i][j]) << i << ", " << j;
  }
}

__global__ void load(std::uint32_t* registers, int matrices, bool transpose) {
  __shared__ __align__(16) std::uint16_t numbers[4][8][8];
  const unsigned lane = threadIdx.x;
  for (unsigned i = 0; i < 8; ++i) {
    numbers[lane / 8][lane % 8][i] =
        static_cast<std::uint16_t>(100 * (lane / 8) + 10 * (lane % 8) + i);
  }
  __syncwarp();
  std::uint32_t own[4] = {};
  emulator::ldmatrix(own, matrices, numbers[lane / 8][lane % 8], transpose);
  for (int i = 0; i < 4; ++i) registers[4 * lane + i] = own[i];
}

TEST(TensorCore, LoadsMatrices) {
  for (const bool transpose : {false, true}) {
    for (const int matrices : {1, 2, 4}) {
      const DeviceArray<std::uint32_t> registers(128);
      check(launch(1, 32, 0, load, registers.data(), matrices, transpose));
      const std::vector<std::uint32_t> result = registers.values();
      for (unsigned lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i) {
          const unsigned first = 2 * (lane % 4);
          const unsigned other = lane / 4;
          const unsigned low = 100 * i + (transpose ? 10 * first + other : 10 * other + first);
          const unsigned high = low + (transpose ? 10 : 1);
          EXPECT_EQ(result[4 * lane + i], i < matrices ? low | (high << 16) : 0u);
        }
      }
    }
  }
}

__global__ void load_misaligned() {
  __shared__ __align__(16) unsigned char bytes[1024];
  std::uint32_t own[1];
  emulator::ldmatrix(own, 1, bytes + 8, false);
}

TEST(TensorCoreDeathTest, MisalignedRowsAbort) {
  start_new_processes();
  EXPECT_DEATH(run(1, 32, 0, load_misaligned), "is not a multiple of 16");
}

}  // namespace
}  // namespace emulator_test
