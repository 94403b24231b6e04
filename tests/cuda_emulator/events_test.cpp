// Events: what they order, when they are reached, and what they say before.
#include "tests/cuda_emulator/test_streams.h"

namespace emulator_test {
namespace {

TEST(Events, AreReachedWhenTheWorkBeforeThemHasRun) {
  const Stream stream;
  const Event event;
  check(cudaEventQuery(event));
  check(cudaEventSynchronize(event));
  int unready = 0;
  for (int i = 0; i < kTrials; ++i) {
    const PinnedNumbers numbers(1);
    check(set_on(stream, numbers.data(), 1));
    check(cudaEventRecord(event, stream));
    for (;;) {
      const cudaError_t error = cudaEventQuery(event);
      if (error == cudaSuccess) break;
      ASSERT_EQ(error, cudaErrorNotReady);
      EXPECT_EQ(cudaGetLastError(), cudaErrorNotReady);
      ++unready;
    }
    EXPECT_EQ(numbers[0], 1);
  }
  EXPECT_EQ(unready > 0, are_asynchronous());
  check(cudaStreamQuery(stream));
}

TEST(Events, AWaitIsForTheRecordBeforeIt) {
  SKIP_AT_ONCE();
  const Stream stream, waiting;
  const Event event;
  int early = 0;
  for (int i = 0; i < kTrials; ++i) {
    const PinnedNumbers numbers(3);
    check(set_on(stream, &numbers[0], 1));
    check(cudaEventRecord(event, stream));
    check(cudaStreamWaitEvent(waiting, event));
    check(set_on(stream, &numbers[0], 2));
    check(cudaEventRecord(event, stream));
    check(cudaMemcpyAsync(&numbers[1], &numbers[0], 4, cudaMemcpyDefault, waiting));
    check(cudaStreamSynchronize(waiting));
    EXPECT_GE(numbers[1], 1);
    early += numbers[1] == 1 ? 1 : 0;
    check(cudaEventSynchronize(event));
    EXPECT_EQ(numbers[0], 2);
  }
  EXPECT_GT(early, 0) << "the second record was not to be waited for";
}

TEST(Events, MayGoWhileTheyAreWaitedFor) {
  const Stream stream, waiting;
  for (int i = 0; i < kTrials; ++i) {
    const PinnedNumbers numbers(2);
    {
      const Event event;
      check(set_on(stream, &numbers[0], 1));
      check(cudaEventRecord(event, stream));
      check(cudaStreamWaitEvent(waiting, event));
    }
    check(cudaMemcpyAsync(&numbers[1], &numbers[0], 4, cudaMemcpyDefault, waiting));
    check(cudaStreamSynchronize(waiting));
    ASSERT_EQ(numbers[1], 1);
  }
}

TEST(Events, HaveNoTimeBeforeTheyAreReached) {
  SKIP_AT_ONCE();
  const Stream stream;
  const Event start, end;
  float milliseconds = 0.0f;
  check(cudaEventRecord(start, stream));
  check(cudaEventRecord(end, stream));
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
  EXPECT_EQ(cudaGetLastError(), cudaErrorNotReady);
  check(cudaEventSynchronize(end));
  check(cudaEventElapsedTime(&milliseconds, start, end));
  EXPECT_GE(milliseconds, 0.0f);
}

}  // namespace
}  // namespace emulator_test
