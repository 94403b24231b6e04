// Threads of a block: order, barriers, warp collectives, and what is said when they do not meet.
#include <cstdint>
#include <numeric>
#include <set>

#include "tests/cuda_emulator/test_launch.h"

namespace emulator_test {
namespace {

// ---- sums with shared memory and shuffles ----

__global__ void sum_blocks(const int* values, int* sums) {
  __shared__ int warp_sums[32];
  int sum = values[blockIdx.x * blockDim.x + threadIdx.x];
  for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_down_sync(~0u, sum, delta);
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < blockDim.x / 32 ? warp_sums[threadIdx.x] : 0;
    for (int mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(~0u, sum, mask);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
  }
}

TEST(Threads, BlocksSumWithSharedMemoryAndShuffles) {
  constexpr int kBlocks = 20;
  for (const int threads : {32, 256, 1024}) {
    std::vector<int> values(kBlocks * threads);
    std::iota(values.begin(), values.end(), -5);
    const DeviceArray<int> input(values);
    const DeviceArray<int> sums(kBlocks);
    check(launch(kBlocks, threads, 0, sum_blocks, input.data(), sums.data()));
    const std::vector<int> result = sums.values();
    for (int i = 0; i < kBlocks; ++i) {
      const auto begin = values.begin() + i * threads;
      EXPECT_EQ(result[i], std::accumulate(begin, begin + threads, 0)) << i;
    }
  }
}

// ---- where a thread stands ----

__global__ void write_places(uint3* threads, uint3* blocks) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned index = block * blockDim.x * blockDim.y * blockDim.z + thread;
  threads[index] = threadIdx;
  __syncthreads();
  blocks[index] = blockIdx;
}

TEST(Threads, EveryThreadOfEveryBlockRunsOnce) {
  const dim3 grid(3, 4, 5);
  const dim3 block(7, 3, 2);
  const DeviceArray<uint3> threads(60 * 42);
  const DeviceArray<uint3> blocks(60 * 42);
  check(launch(grid, block, 0, write_places, threads.data(), blocks.data()));
  const std::vector<uint3> thread = threads.values();
  const std::vector<uint3> place = blocks.values();
  for (unsigned i = 0; i < 60 * 42; ++i) {
    const unsigned b = i / 42;
    const unsigned t = i % 42;
    EXPECT_EQ(place[i].x + 3 * (place[i].y + 4 * place[i].z), b);
    EXPECT_EQ(thread[i].x + 7 * (thread[i].y + 3 * thread[i].z), t);
  }
}

// ---- barriers ----

// Reverses the block's numbers through shared memory; without a barrier if told so.
__global__ void reverse(int* values, bool with_barrier) {
  __shared__ int copy[256];
  copy[threadIdx.x] = values[threadIdx.x];
  if (with_barrier) __syncthreads();
  values[threadIdx.x] = copy[blockDim.x - 1 - threadIdx.x];
}

TEST(Threads, MissingBarrierShows) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer reports the race that this test is about";
#endif
  std::vector<int> values(256);
  std::iota(values.begin(), values.end(), 1000);
  const std::vector<int> reversed(values.rbegin(), values.rend());
  std::set<std::vector<int>> racy;
  for (int i = 0; i < 8; ++i) {
    const DeviceArray<int> good(values);
    check(launch(1, 256, 0, reverse, good.data(), true));
    EXPECT_EQ(good.values(), reversed);
    const DeviceArray<int> bad(values);
    check(launch(1, 256, 0, reverse, bad.data(), false));
    EXPECT_NE(bad.values(), reversed);
    racy.insert(bad.values());
  }
  EXPECT_GT(racy.size(), 1u);
}

// Rotates the warp's numbers through shared memory, without __syncwarp if told so.
__global__ void rotate(int* values, bool with_barrier) {
  __shared__ int copy[32];
  copy[threadIdx.x] = values[threadIdx.x];
  if (with_barrier) __syncwarp();
  values[threadIdx.x] = copy[(threadIdx.x + 1) % 32];
}

TEST(Threads, MissingWarpBarrierShows) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer reports the race that this test is about";
#endif
  std::vector<int> values(32);
  std::iota(values.begin(), values.end(), 0);
  std::vector<int> rotated(values.begin() + 1, values.end());
  rotated.push_back(0);
  const DeviceArray<int> good(values);
  check(launch(1, 32, 0, rotate, good.data(), true));
  EXPECT_EQ(good.values(), rotated);
  std::vector<int> others(32);
  std::iota(others.begin(), others.end(), 100);
  const DeviceArray<int> bad(others);
  check(launch(1, 32, 0, rotate, bad.data(), false));
  for (int& value : rotated) value += 100;
  EXPECT_NE(bad.values(), rotated);
}

__global__ void count_threads(int* results) {
  if (threadIdx.x >= 100) return;
  const int count = __syncthreads_count(threadIdx.x % 2 == 0);
  const int all = __syncthreads_and(threadIdx.x < 100);
  const int not_all = __syncthreads_and(threadIdx.x < 99);
  const int some = __syncthreads_or(threadIdx.x == 99);
  const int none = __syncthreads_or(0);
  const int correct = count == 50 && all != 0 && not_all == 0 && some != 0 && none == 0;
  results[threadIdx.x] = correct;
}

TEST(Threads, ThreadsThatHaveExitedCountAsArrived) {
  const DeviceArray<int> results(100);
  check(launch(1, 256, 0, count_threads, results.data()));
  EXPECT_EQ(results.values(), std::vector<int>(100, 1));
}

// ---- warp collectives ----

struct Pair {
  std::uint16_t first;
  std::uint16_t second;
  std::uint32_t third;
};

__global__ void check_collectives(int* mistakes) {
  const unsigned lane = threadIdx.x % 32;
  int wrong = 0;
  const auto expect = [&](bool holds) { wrong += holds ? 0 : 1; };
  expect(__shfl_sync(~0u, lane * 10, 3) == 30);
  expect(__shfl_sync(~0u, lane, 11, 8) == (lane / 8) * 8 + 3);
  expect(__shfl_up_sync(~0u, lane, 4) == (lane < 4 ? lane : lane - 4));
  expect(__shfl_up_sync(~0u, lane, 1, 16) == (lane % 16 == 0 ? lane : lane - 1));
  expect(__shfl_down_sync(~0u, lane, 5, 8) == (lane % 8 < 3 ? lane + 5 : lane));
  expect(__shfl_xor_sync(~0u, 1.5 * lane, 9) == 1.5 * (lane ^ 9));
  // Groups of 8: those with bit 3 set read from the group before them, the others may not.
  expect(__shfl_xor_sync(~0u, lane, 8, 8) == ((lane & 8) != 0 ? lane ^ 8 : lane));
  const Pair pair = __shfl_sync(~0u, Pair{7, static_cast<std::uint16_t>(lane), lane + 1}, 20);
  expect(pair.first == 7 && pair.second == 20 && pair.third == 21);
  expect(__activemask() == ~0u);
  expect(__ballot_sync(~0u, lane % 3 == 0) == 0x49249249u);
  expect(__any_sync(~0u, lane == 31) != 0);
  expect(__any_sync(~0u, 0) == 0);
  expect(__all_sync(~0u, lane < 32) != 0);
  expect(__all_sync(~0u, lane < 31) == 0);
  expect(__match_any_sync(~0u, lane % 2) == (lane % 2 == 0 ? 0x55555555u : 0xaaaaaaaau));
  expect(__reduce_add_sync(~0u, lane) == 496);
  expect(__reduce_add_sync(~0u, -static_cast<int>(lane)) == -496);
  expect(__reduce_min_sync(~0u, static_cast<int>(lane) - 8) == -8);
  expect(__reduce_max_sync(~0u, static_cast<int>(lane) - 40) == -9);
  expect(__reduce_max_sync(~0u, lane) == 31);
  expect(__reduce_or_sync(~0u, 1u << lane) == ~0u);
  expect(__reduce_and_sync(~0u, ~(lane == 4 ? 2u : 0u)) == ~2u);
  expect(__reduce_xor_sync(~0u, lane) == 0);
  // Parts of the warp on ways of their own.
  if (lane < 10) {
    const unsigned mask = (1u << 10) - 1;
    expect(__reduce_add_sync(mask, lane) == 45);
    expect(__ballot_sync(mask, 1) == mask);
    expect(__shfl_sync(mask, lane, 20) == ~0u);
  } else {
    const unsigned mask = ~((1u << 10) - 1);
    for (unsigned i = 10; i < 32; ++i) expect(__shfl_sync(mask, lane * lane, i) == i * i);
  }
  mistakes[blockIdx.x * blockDim.x + threadIdx.x] = wrong;
}

TEST(Threads, WarpCollectives) {
  const DeviceArray<int> mistakes(20 * 128);
  check(launch(20, 128, 0, check_collectives, mistakes.data()));
  EXPECT_EQ(mistakes.values(), std::vector<int>(20 * 128, 0));
}

// Lanes that have exited, or that the block does not have, are not waited for.
__global__ void sum_first_lanes(unsigned* sums) {
  if (threadIdx.x == 0 || threadIdx.x == 39) return;
  sums[threadIdx.x] = __reduce_add_sync(~0u, 1u);
}

TEST(Threads, CollectivesDoNotWaitForLanesThatHaveExited) {
  const DeviceArray<unsigned> sums(40);
  check(launch(1, 40, 0, sum_first_lanes, sums.data()));
  const std::vector<unsigned> result = sums.values();
  for (int i = 1; i < 39; ++i) EXPECT_EQ(result[i], i < 32 ? 31u : 7u) << i;
}

// ---- threads that do not meet ----

__global__ void diverge() {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

__global__ void wait_for_others() {
  if (threadIdx.x == 5) __syncwarp(0x60);
  __syncthreads();
}

__global__ void mix_collectives() {
  if (threadIdx.x < 16) {
    __ballot_sync(~0u, 1);
  } else {
    __shfl_sync(~0u, 1, 0);
  }
}

__global__ void leave_own_mask() {
  __syncwarp(1);
}

TEST(ThreadsDeathTest, ThreadsThatNeverMeetAbort) {
  start_new_processes();
  EXPECT_DEATH(run(2, 32, 0, diverge), "block \\(., 0, 0\\) of 32 threads is stuck");
  EXPECT_DEATH(run(1, 64, 0, wait_for_others), "thread 5 waits in __syncwarp.*0x00000060 for");
  EXPECT_DEATH(run(1, 32, 0, mix_collectives), "lanes of mask 0xffffffff are in");
  EXPECT_DEATH(run(1, 32, 0, leave_own_mask), "not in its own mask");
  EXPECT_DEATH(__syncthreads(), "outside of a kernel");
}

}  // namespace
}  // namespace emulator_test
