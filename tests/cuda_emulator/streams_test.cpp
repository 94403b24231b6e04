// Streams are asynchronous: what runs when, and that what nobody ordered comes in another order.
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tests/cuda_emulator/test_streams.h"

namespace emulator_test {
namespace {

// ---- between streams ----

// A row is paged in by one stream, changed by another and written back by a third; then the next
// row takes its place. Gives how many rows were written back wrong.
int page_rows(bool wait_for_page_in, bool wait_for_change, bool wait_for_write_back) {
  constexpr int kRounds = 5;
  const Stream page_in, compute, write_back;
  const Event paged, changed, written;
  const DeviceArray<int> row(std::vector<int>{0});
  const DeviceArray<int> one(std::vector<int>{1});
  const PinnedNumbers records(kRounds), results(kRounds);
  for (int i = 0; i < kRounds; ++i) {
    records[i] = 10 * (i + 1);
    if (wait_for_write_back && i > 0) check(cudaStreamWaitEvent(page_in, written));
    check(cudaMemcpyAsync(row.data(), &records[i], 4, cudaMemcpyHostToDevice, page_in));
    check(cudaEventRecord(paged, page_in));
    if (wait_for_page_in) check(cudaStreamWaitEvent(compute, paged));
    check(launch(Grid(1, 1, 0, compute), add_to, row.data(), one.data()));
    check(cudaEventRecord(changed, compute));
    if (wait_for_change) check(cudaStreamWaitEvent(write_back, changed));
    check(cudaMemcpyAsync(&results[i], row.data(), 4, cudaMemcpyDeviceToHost, write_back));
    check(cudaEventRecord(written, write_back));
  }
  check(cudaStreamSynchronize(write_back));
  int wrong = 0;
  for (int i = 0; i < kRounds; ++i) wrong += results[i] != records[i] + 1 ? 1 : 0;
  return wrong;
}

int wrong_trials(bool wait_for_page_in, bool wait_for_change, bool wait_for_write_back) {
  int trials = 0;
  for (int i = 0; i < kTrials; ++i) {
    trials += page_rows(wait_for_page_in, wait_for_change, wait_for_write_back) != 0 ? 1 : 0;
  }
  return trials;
}

TEST(Streams, EventsThatAreWaitedForOrderThem) {
  EXPECT_EQ(wrong_trials(true, true, true), 0);
}

TEST(Streams, AMissingWaitShows) {
  SKIP_AT_ONCE();
  EXPECT_GT(wrong_trials(false, true, true), kTrials / 2) << "computes before the page-in";
  EXPECT_GT(wrong_trials(true, false, true), kTrials / 2) << "writes back before the change";
  EXPECT_GT(wrong_trials(true, true, false), kTrials / 2) << "pages in before the write-back";
}

TEST(Streams, WorkThatNobodyWaitsForMayBeLateOrEarly) {
  SKIP_AT_ONCE();
  const Stream first, second;
  int overtaken = 0;
  for (int i = 0; i < kTrials; ++i) {
    const PinnedNumbers numbers(1);
    check(set_on(first, numbers.data(), 1));
    check(set_on(second, numbers.data(), 2));
    check(cudaStreamSynchronize(second));
    check(cudaStreamSynchronize(first));
    overtaken += numbers[0] == 1 ? 1 : 0;
  }
  EXPECT_GT(overtaken, kTrials / 10);
  EXPECT_LT(overtaken, kTrials * 9 / 10);
}

TEST(Streams, AreOrderedWithTheDefaultStreamUnlessNonBlocking) {
  const Stream blocking(cudaStreamDefault);
  for (int i = 0; i < kTrials; ++i) {
    const PinnedNumbers numbers(1);
    check(set_on(blocking, numbers.data(), 1));
    check(set_on(nullptr, numbers.data(), 2));
    check(set_on(blocking, numbers.data(), 3));
    check(cudaStreamSynchronize(i % 2 == 0 ? nullptr : cudaStream_t{blocking}));
    ASSERT_EQ(numbers[0], 3);
  }
}

TEST(Streams, RunWhatTheyHoldWhenTheyAreDestroyed) {
  const PinnedNumbers numbers(1);
  {
    const Stream stream;
    for (int i = 0; i <= 10; ++i) check(set_on(stream, numbers.data(), i));
  }
  check(cudaDeviceSynchronize());
  EXPECT_EQ(numbers[0], 10);
}

TEST(Streams, LongQueuesAreRunInPart) {
  SKIP_AT_ONCE();
  const Stream stream, other;
  const PinnedNumbers numbers(2);
  for (int i = 0; i < 5000; ++i) {
    check(set_on(i % 2 == 0 ? stream : other, &numbers[i % 2], i));
  }
  EXPECT_GT(numbers[0] + numbers[1], 1000);
  check(cudaDeviceSynchronize());
  EXPECT_EQ(numbers[0], 4998);
  EXPECT_EQ(numbers[1], 4999);
}

TEST(Streams, SeveralThreadsQueueAndWait) {
  const Stream stream;
  const PinnedNumbers sums(4);
  const PinnedNumbers one(1);
  one[0] = 1;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    sums[t] = 0;
    threads.emplace_back([&, t] {
      const Stream own;
      const Event event;
      for (int i = 0; i < 50; ++i) {
        const cudaStream_t queue = t < 2 ? stream : own;
        check(launch(Grid(1, 1, 0, queue), add_to, &sums[t], one.data()));
        check(cudaEventRecord(event, queue));
        check(cudaEventSynchronize(event));
        EXPECT_EQ(sums[t], i + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// ---- the host ----

TEST(AsynchronousCopies, OfPinnedMemoryAreLate) {
  SKIP_AT_ONCE();
  const Stream stream;
  const PinnedNumbers numbers(2);
  const DeviceArray<int> array(1);
  numbers[0] = 1;
  numbers[1] = 0;
  check(cudaMemcpyAsync(array.data(), &numbers[0], 4, cudaMemcpyHostToDevice, stream));
  check(cudaMemcpyAsync(&numbers[1], array.data(), 4, cudaMemcpyDeviceToHost, stream));
  EXPECT_EQ(numbers[1], 0) << "it is not there yet";
  numbers[0] = 2;
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(numbers[1], 2) << "the source was changed too early";
}

TEST(AsynchronousCopies, OfPageableMemoryAreTakenAtTheCallAndGivenOnReturn) {
  const Stream stream;
  for (const std::size_t count : {std::size_t{3}, std::size_t{100000}}) {
    std::vector<int> source(count, 5);
    std::vector<int> target(count, 0);
    const DeviceArray<int> array(count);
    const std::size_t bytes = count * sizeof(int);
    check(cudaMemcpyAsync(array.data(), source.data(), bytes, cudaMemcpyHostToDevice, stream));
    source.assign(count, 6);
    check(cudaMemcpyAsync(target.data(), array.data(), bytes, cudaMemcpyDeviceToHost, stream));
    EXPECT_EQ(target, std::vector<int>(count, 5));
  }
}

TEST(AsynchronousCopies, ArgumentsOfKernelsAreCopied) {
  const Stream stream;
  const PinnedNumbers numbers(1);
  int value = 7;
  check(set_on(stream, numbers.data(), value));
  value = 8;
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(numbers[0], 7);
}

TEST(AsynchronousCopies, BlockingCallsWaitForTheirStreamOnly) {
  SKIP_AT_ONCE();
  const Stream stream;
  const DeviceArray<int> array(std::vector<int>{1});
  check(launch(1, 1, 0, set, array.data(), 2));
  EXPECT_EQ(array.values()[0], 2);
  int early = 0;
  for (int i = 0; i < kTrials; ++i) {
    check(cudaMemset(array.data(), 0, 4));
    check(cudaDeviceSynchronize());
    check(set_on(stream, array.data(), 3));
    early += array.values()[0] == 0 ? 1 : 0;
    check(cudaStreamSynchronize(stream));
    EXPECT_EQ(array.values()[0], 3);
  }
  EXPECT_GT(early, kTrials / 10) << "nothing orders the copy and the kernel";
}

void call_runtime(void* error) {
  *static_cast<cudaError_t*>(error) = cudaDeviceSynchronize();
  cudaGetLastError();
}

TEST(HostFunctions, MayNotCallTheRuntime) {
  const Stream stream;
  cudaError_t error = cudaSuccess;
  check(cudaLaunchHostFunc(stream, call_runtime, &error));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(error, cudaErrorNotPermitted);
}

// ---- a device that fails ----

__global__ void trap_in_one_thread(int* target) {
  if (threadIdx.x == 5) __trap();
  __syncthreads();
  if (threadIdx.x == 0) *target = 1;
}

// In a process of its own: the device does not come back.
void fail_the_device() {
  const PinnedNumbers numbers(2);
  numbers[0] = numbers[1] = 0;
  const Stream stream;
  check(launch(Grid(1, 64, 0, stream), trap_in_one_thread, &numbers[0]));
  check(set_on(stream, &numbers[1], 1));
  if (cudaStreamSynchronize(stream) != cudaErrorLaunchFailure) std::exit(1);
  if (cudaGetLastError() != cudaErrorLaunchFailure) std::exit(2);
  if (cudaGetLastError() != cudaErrorLaunchFailure) std::exit(3);
  if (set_on(stream, &numbers[1], 1) != cudaErrorLaunchFailure) std::exit(4);
  int* pointer = nullptr;
  if (cudaMalloc(&pointer, 4) != cudaErrorLaunchFailure) std::exit(5);
  if (numbers[1] != 0) std::exit(6);
  std::exit(0);
}

TEST(FailuresDeathTest, SurfaceWhenTheHostWaitsAndStay) {
  SKIP_AT_ONCE();
  start_new_processes();
  EXPECT_EXIT(fail_the_device(), testing::ExitedWithCode(0), "the device has failed");
}

void fail_in_enqueued_work() {
  const Stream stream;
  check(emulator::enqueue(stream, [] { throw std::runtime_error("no memory"); }));
  std::exit(cudaStreamSynchronize(stream) == cudaErrorLaunchFailure ? 0 : 1);
}

TEST(FailuresDeathTest, OfEnqueuedWorkDoSoToo) {
  SKIP_AT_ONCE();
  start_new_processes();
  EXPECT_EXIT(fail_in_enqueued_work(), testing::ExitedWithCode(0), "has failed: no memory");
}

}  // namespace
}  // namespace emulator_test
