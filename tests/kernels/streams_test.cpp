// What streams and events promise, on every backend.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "io/error.h"
#include "tests/support/test_backend.h"
#include "tests/support/transfer.h"

namespace mneme::testing {
namespace {

using kernels::MemoryKind;

class StreamTest : public ::testing::TestWithParam<TestBackend> {
 protected:
  std::unique_ptr<kernels::Backend> backend_ = GetParam().make();

  // A device buffer of `count` floats, all `value`.
  kernels::Buffer filled(kernels::Stream& stream, std::int64_t count, float value) {
    return upload(*backend_, stream, std::vector<float>(static_cast<std::size_t>(count), value));
  }
  float first(kernels::Stream& stream, const kernels::Buffer& buffer) {
    return read_device(*backend_, stream, buffer.as<float>(), 1)[0];
  }
  // Fails when run: a token outside the vocabulary.
  void queue_failure(kernels::Stream& stream, const kernels::Buffer& minus_one) {
    backend_->embedding(stream, {.tokens = minus_one.as<std::int32_t>(),
                                 .table = minus_one.as<float>(),
                                 .out = minus_one.as<float>(),
                                 .count = 1,
                                 .width = 1,
                                 .vocabulary = 1});
  }
  kernels::Buffer minus_one(kernels::Stream& stream) {
    return upload<std::int32_t>(*backend_, stream, {-1});
  }
};

TEST_P(StreamTest, WorkRunsInOrder) {
  const auto stream = backend_->create_stream();
  const auto x = filled(*stream, 1000, 1.0f);
  // Doubling does not commute with zeroing and copying.
  const auto ones = filled(*stream, 1000, 1.0f);
  for (int i = 0; i < 10; ++i) backend_->add(*stream, x.as<float>(), x.as<float>(), 1000);
  backend_->add(*stream, x.as<float>(), ones.as<float>(), 1000);
  backend_->add(*stream, x.as<float>(), x.as<float>(), 1000);
  EXPECT_EQ(first(*stream, x), 2050.0f);
}

TEST_P(StreamTest, AFullQueuePushesBackAndDropsNothing) {
  const auto stream = backend_->create_stream();
  const auto x = filled(*stream, 64, 0.0f);
  const auto ones = filled(*stream, 64, 1.0f);
  for (int i = 0; i < 5000; ++i) backend_->add(*stream, x.as<float>(), ones.as<float>(), 64);
  EXPECT_EQ(first(*stream, x), 5000.0f);
}

TEST_P(StreamTest, AnEventOrdersTwoStreams) {
  constexpr std::int64_t kCount = 200000;
  const auto producer = backend_->create_stream();
  const auto consumer = backend_->create_stream();
  const auto produced = backend_->create_event();
  const auto consumed = backend_->create_event();
  const auto x = filled(*producer, kCount, 0.0f);
  const auto y = filled(*producer, kCount, 0.0f);
  const auto ones = filled(*producer, kCount, 1.0f);
  // x is written by one stream and read by the other, back and forth: without the waits this is a
  // data race.
  for (int i = 0; i < 20; ++i) {
    backend_->add(*producer, x.as<float>(), ones.as<float>(), kCount);
    producer->record(*produced);
    consumer->wait(*produced);
    backend_->add(*consumer, y.as<float>(), x.as<float>(), kCount);
    consumer->record(*consumed);
    producer->wait(*consumed);
  }
  EXPECT_EQ(first(*consumer, y), 210.0f);  // 1 + 2 + ... + 20
  EXPECT_EQ(first(*producer, x), 20.0f);
}

TEST_P(StreamTest, WaitingForAnEventThatWasNeverRecordedDoesNotBlock) {
  const auto stream = backend_->create_stream();
  const auto event = backend_->create_event();
  stream->wait(*event);
  EXPECT_EQ(first(*stream, filled(*stream, 1, 3.0f)), 3.0f);
}

TEST_P(StreamTest, AnEventMayGoWhileWorkRefersToIt) {
  const auto first_stream = backend_->create_stream();
  const auto second_stream = backend_->create_stream();
  const auto x = filled(*first_stream, 100000, 1.0f);
  for (int i = 0; i < 20; ++i) {
    const auto event = backend_->create_event();
    backend_->add(*first_stream, x.as<float>(), x.as<float>(), 100000);
    first_stream->record(*event);
    second_stream->wait(*event);
  }
  second_stream->synchronize();
  EXPECT_EQ(first(*second_stream, x), 1048576.0f);
}

TEST_P(StreamTest, AnErrorSurfacesAtSynchronizeAndOnlyOnce) {
  const auto stream = backend_->create_stream();
  const auto bad = minus_one(*stream);
  EXPECT_NO_THROW(queue_failure(*stream, bad));
  EXPECT_THROW(stream->synchronize(), io::Error);
  EXPECT_NO_THROW(stream->synchronize());
  const auto x = filled(*stream, 10, 1.0f);
  backend_->add(*stream, x.as<float>(), x.as<float>(), 10);
  EXPECT_EQ(first(*stream, x), 2.0f) << "the stream works again";
}

TEST_P(StreamTest, OfSeveralErrorsTheFirstSurfaces) {
  const auto stream = backend_->create_stream();
  const auto tokens = upload<std::int32_t>(*backend_, *stream, {7, 8, 9});
  const auto x = filled(*stream, 4, 1.0f);
  for (int i = 0; i < 3; ++i) {
    backend_->embedding(*stream, {.tokens = tokens.as<std::int32_t>() + i,
                                  .table = x.as<float>(),
                                  .out = x.as<float>(),
                                  .count = 1,
                                  .width = 1,
                                  .vocabulary = 4});
  }
  try {
    stream->synchronize();
    ADD_FAILURE() << "no error";
  } catch (const io::Error& error) {
    EXPECT_NE(std::string(error.what()).find("token 7"), std::string::npos) << error.what();
  }
  EXPECT_NO_THROW(stream->synchronize());
}

TEST_P(StreamTest, AnErrorStaysOnItsStream) {
  const auto failing = backend_->create_stream();
  const auto other = backend_->create_stream();
  const auto bad = minus_one(*failing);
  queue_failure(*failing, bad);
  EXPECT_NO_THROW(other->synchronize());
  EXPECT_EQ(first(*other, filled(*other, 3, 4.0f)), 4.0f);
  EXPECT_THROW(failing->synchronize(), io::Error);
}

TEST_P(StreamTest, AStreamMayGoWithAnErrorThatNobodyAskedFor) {
  const auto other = backend_->create_stream();
  const auto bad = minus_one(*other);
  {
    const auto stream = backend_->create_stream();
    queue_failure(*stream, bad);
  }
  EXPECT_NO_THROW(other->synchronize());
}

TEST_P(StreamTest, TimeBetweenEventsIsThatOfTheDevice) {
  const auto stream = backend_->create_stream();
  const auto x = filled(*stream, 100000, 1.0f);
  const auto start = backend_->create_event();
  const auto end = backend_->create_event();
  stream->record(*start);
  for (int i = 0; i < 10; ++i) backend_->add(*stream, x.as<float>(), x.as<float>(), 100000);
  stream->record(*end);
  stream->synchronize();
  EXPECT_GT(end->seconds_since(*start), 0.0);
  EXPECT_LT(end->seconds_since(*start), 60.0);
}

// Whether the waiting stream fails with it is the backend's affair; see carried_errors_test.cpp.
TEST_P(StreamTest, AFailedStreamStillReachesItsEvents) {
  const auto failing = backend_->create_stream();
  const auto waiting = backend_->create_stream();
  const auto bad = minus_one(*failing);
  const auto event = backend_->create_event();
  queue_failure(*failing, bad);
  failing->record(*event);
  waiting->wait(*event);
  try {
    waiting->synchronize();
  } catch (const io::Error& error) {
    EXPECT_NE(std::string(error.what()).find("token -1"), std::string::npos) << error.what();
  }
  EXPECT_TRUE(event->reached());
  EXPECT_THROW(failing->synchronize(), io::Error);
  EXPECT_EQ(first(*waiting, filled(*waiting, 3, 4.0f)), 4.0f) << "the waiting stream works";
}

TEST_P(StreamTest, DestroyingAStreamRunsWhatIsQueued) {
  const auto other = backend_->create_stream();
  const auto x = filled(*other, 100000, 1.0f);
  {
    const auto stream = backend_->create_stream();
    for (int i = 0; i < 8; ++i) backend_->add(*stream, x.as<float>(), x.as<float>(), 100000);
  }
  EXPECT_EQ(first(*other, x), 256.0f);
}

// Small memory comes from the heap, large and pinned memory is mapped for itself.
TEST_P(StreamTest, ABufferMayGoWhileWorkUsesIt) {
  for (const std::int64_t count : {1000, 300000}) {
    for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kPinnedHost}) {
      const auto first_stream = backend_->create_stream();
      const auto second_stream = backend_->create_stream();
      const auto copied = backend_->create_event();
      const auto x = filled(*first_stream, count, 1.0f);
      const auto y = filled(*first_stream, count, 1.0f);
      const auto large = backend_->allocate(8 << 20, MemoryKind::kDevice);
      {
        const auto passing = backend_->allocate(x.bytes(), kind);
        for (int i = 0; i < 10; ++i) {
          backend_->zero(*first_stream, large.as<void>(), large.bytes());
        }
        backend_->copy(*first_stream, passing.as<void>(), x.as<void>(), x.bytes());
        first_stream->record(*copied);
        second_stream->wait(*copied);
        backend_->add(*second_stream, y.as<float>(), passing.as<float>(), count);
      }
      EXPECT_EQ(first(*second_stream, y), 2.0f);
    }
  }
}

TEST_P(StreamTest, ABufferMayGoWhileScratchMemoryGrows) {
  constexpr std::int64_t kCount = 200000;
  const auto first_stream = backend_->create_stream();
  const auto second_stream = backend_->create_stream();
  const auto ones = filled(*first_stream, kCount, 1.0f);
  const auto first_sums = filled(*first_stream, kCount, 0.0f);
  const auto second_sums = filled(*first_stream, kCount, 0.0f);
  // Each sum over rows takes more scratch memory than the one before.
  float rows = 0;
  for (std::int64_t width = 1000; width <= kCount; width *= 2) {
    const auto passing = backend_->allocate(4, MemoryKind::kDevice);
    const auto queue_sum = [&](kernels::Stream& stream, const kernels::Buffer& sums) {
      backend_->sum_rows(
          stream,
          {.x = ones.as<float>(), .out = sums.as<float>(), .rows = kCount / width, .width = width});
    };
    queue_sum(*first_stream, first_sums);
    queue_sum(*second_stream, second_sums);
    backend_->zero(*first_stream, passing.as<void>(), passing.bytes());
    rows += static_cast<float>(kCount / width);
  }
  EXPECT_EQ(first(*first_stream, first_sums), rows);
  EXPECT_EQ(first(*second_stream, second_sums), rows);
}

TEST_P(StreamTest, ABufferThatGoesLeavesAStreamsErrorToItsCaller) {
  const auto stream = backend_->create_stream();
  const auto bad = minus_one(*stream);
  {
    const auto passing = backend_->allocate(4, MemoryKind::kDevice);
    queue_failure(*stream, bad);
  }
  EXPECT_THROW(stream->synchronize(), io::Error);
}

INSTANTIATE_TEST_SUITE_P(Streams, StreamTest, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

TEST(CpuBackend, RefusesANegativeNumberOfThreads) {
  EXPECT_THROW(kernels::make_cpu_backend({.threads = -1}), io::Error);
}

TEST(CpuBackend, SkipsWhatWasQueuedBehindAnError) {
  const auto backend = kernels::make_cpu_backend({.threads = 2});
  const auto stream = backend->create_stream();
  const auto bad = upload<std::int32_t>(*backend, *stream, {-1});
  const auto x = upload<float>(*backend, *stream, {1.0f});
  backend->embedding(*stream, {.tokens = bad.as<std::int32_t>(),
                               .table = x.as<float>(),
                               .out = x.as<float>(),
                               .count = 1,
                               .width = 1,
                               .vocabulary = 1});
  backend->add(*stream, x.as<float>(), x.as<float>(), 1);
  EXPECT_THROW(stream->synchronize(), io::Error);
  EXPECT_EQ(read_device(*backend, *stream, x.as<float>(), 1)[0], 1.0f);
}

TEST(CpuBackend, SeveralThreadsMayQueueOnOneStream) {
  const auto backend = kernels::make_cpu_backend({.threads = 2});
  const auto stream = backend->create_stream();
  const auto x = upload(*backend, *stream, std::vector<float>(16, 0.0f));
  const auto ones = upload(*backend, *stream, std::vector<float>(16, 1.0f));
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 500; ++j) backend->add(*stream, x.as<float>(), ones.as<float>(), 16);
      stream->synchronize();
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(read_device(*backend, *stream, x.as<float>(), 1)[0], 1500.0f);
}

TEST(CpuBackend, SaysWhatItRunsOn) {
  EXPECT_EQ(kernels::make_cpu_backend({.threads = 2})->name().rfind("cpu (2 threads, AVX", 0), 0u);
  EXPECT_EQ(kernels::make_cpu_backend({.threads = 1})->name().rfind("cpu (1 thread, AVX", 0), 0u);
}

}  // namespace
}  // namespace mneme::testing
