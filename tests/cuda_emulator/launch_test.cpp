// What the emulator lets a launch have, and what blocks find in shared memory.
#include <cstdlib>
#include <vector>

#include "tests/cuda_emulator/test_launch.h"

namespace emulator_test {
namespace {

__global__ void do_nothing() {}

__global__ void fill_dynamic(int* result, int bytes) {
  auto* shared = static_cast<unsigned char*>(emulator::dynamic_shared());
  int wrong = reinterpret_cast<std::uintptr_t>(shared) % 1024 == 0 ? 0 : 1;
  for (int i = threadIdx.x; i < bytes; i += blockDim.x) {
    if (shared[i] != 0xFF) ++wrong;
    shared[i] = 0;
  }
  if (__syncthreads_or(wrong) != 0) *result = 1;
}

__global__ void write_dynamic(int index) {
  static_cast<volatile unsigned char*>(emulator::dynamic_shared())[index] = 1;
}

TEST(Launches, AreValidatedAsCudaDoes) {
  EXPECT_EQ(launch(1, 1024, 0, do_nothing), cudaSuccess);
  EXPECT_EQ(launch(1, 1025, 0, do_nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(0, 32, 0, do_nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1, 65536), 32, 0, do_nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(1, dim3(1, 1, 65), 0, do_nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(1, dim3(32, 33), 0, do_nothing), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(1, 32, 48 << 10, do_nothing), cudaSuccess);
  EXPECT_EQ(launch(1, 32, (48 << 10) + 1, do_nothing), cudaErrorInvalidValue);
  constexpr auto kAttribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  EXPECT_EQ(cudaFuncSetAttribute(do_nothing, kAttribute, (227 << 10) + 1), cudaErrorInvalidValue);
  cudaGetLastError();
  int blocks = -1;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, do_nothing, 256, 100 << 10));
  EXPECT_EQ(blocks, 0);
  check(cudaFuncSetAttribute(do_nothing, kAttribute, 227 << 10));
  EXPECT_EQ(launch(1, 32, 227 << 10, do_nothing), cudaSuccess);
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, do_nothing, 256, 100 << 10));
  EXPECT_EQ(blocks, 2);
}

template <int kCount>
__global__ void fill_static() {
  __shared__ volatile double numbers[kCount];
  __shared__ volatile unsigned flag;
  numbers[threadIdx.x % kCount] = 1.0;
  flag = numbers[0] != 0.0 ? 1 : 0;
  if (flag != 0) numbers[0] = 2.0;
}

std::size_t static_bytes(void (*kernel)()) {
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, kernel));
  return attributes.sharedSizeBytes;
}

TEST(Launches, StaticSharedMemoryCountsAgainstWhatABlockMayHave) {
  EXPECT_EQ(static_bytes(do_nothing), 0u);
  EXPECT_EQ(static_bytes(fill_static<10>), 84u);
  EXPECT_EQ(static_bytes(fill_static<1024>), 8196u);
  const int left = (48 << 10) - 8196;
  EXPECT_EQ(launch(1, 32, static_cast<std::size_t>(left), fill_static<1024>), cudaSuccess);
  EXPECT_EQ(launch(1, 32, static_cast<std::size_t>(left) + 1, fill_static<1024>),
            cudaErrorInvalidValue);
  constexpr auto kAttribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  const int most = (227 << 10) - 8196;
  EXPECT_EQ(cudaFuncSetAttribute(fill_static<1024>, kAttribute, most + 1), cudaErrorInvalidValue);
  cudaGetLastError();
  int blocks = 0;
  check(cudaFuncSetAttribute(fill_static<1024>, kAttribute, most));
  EXPECT_EQ(launch(1, 32, static_cast<std::size_t>(most), fill_static<1024>), cudaSuccess);
  // Twice 105 KiB would fit without the static variables: 228 KiB a multiprocessor.
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill_static<1024>, 32, 105 << 10));
  EXPECT_EQ(blocks, 1);
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill_static<10>, 32, 105 << 10));
  EXPECT_EQ(blocks, 0) << "not allowed to have so much";
  check(cudaDeviceSynchronize());
}

TEST(Launches, ADeviceWithLessSharedMemoryRefusesMore) {
  setenv("MNEME_EMULATED_SHARED_KIB", "99", 1);
  constexpr auto kAttribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
  int most = 0;
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  EXPECT_EQ(most, 99 << 10);
  EXPECT_EQ(cudaFuncSetAttribute(fill_static<512>, kAttribute, most), cudaErrorInvalidValue);
  cudaGetLastError();
  check(cudaFuncSetAttribute(fill_static<512>, kAttribute, most - 4100));
  EXPECT_EQ(launch(1, 32, static_cast<std::size_t>(most) - 4100, fill_static<512>), cudaSuccess);
  unsetenv("MNEME_EMULATED_SHARED_KIB");
  check(cudaDeviceSynchronize());
}

TEST(Launches, DynamicSharedMemoryIsNewForEveryBlock) {
  const DeviceArray<int> result(std::vector<int>{0});
  for (const int bytes : {1, 1000, 1024, 5000, 48 << 10}) {
    check(launch(20, 64, bytes, fill_dynamic, result.data(), bytes));
  }
  EXPECT_EQ(result.values()[0], 0);
}

TEST(LaunchesDeathTest, WritesBehindDynamicSharedMemoryDie) {
  start_new_processes();
  EXPECT_DEATH(run(1, 1, 1000, write_dynamic, 1000), "behind the end of its dynamic shared");
  EXPECT_DEATH(run(1, 1, 1000, write_dynamic, 1024), "");
}

}  // namespace
}  // namespace emulator_test
