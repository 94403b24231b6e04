// What streams, events and memory promise, on every backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "io/error.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::MemoryKind;

class StreamTest : public ::testing::TestWithParam<TestBackend> {
 protected:
  std::unique_ptr<kernels::Backend> backend_ = GetParam().make();

  // A device buffer of `count` floats, all `value`.
  kernels::Buffer filled(kernels::Stream& stream, std::int64_t count, float value) {
    const std::vector<float> values(static_cast<std::size_t>(count), value);
    kernels::Buffer buffer = backend_->allocate(values.size() * 4, MemoryKind::kDevice);
    backend_->copy(stream, buffer.as<void>(), values.data(), buffer.bytes());
    stream.synchronize();
    return buffer;
  }
  float first(kernels::Stream& stream, const kernels::Buffer& buffer) {
    float value = 0;
    backend_->copy(stream, &value, buffer.as<void>(), sizeof value);
    stream.synchronize();
    return value;
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
    const std::int32_t value = -1;
    kernels::Buffer buffer = backend_->allocate(4, MemoryKind::kDevice);
    backend_->copy(stream, buffer.as<void>(), &value, sizeof value);
    stream.synchronize();
    return buffer;
  }
};

TEST_P(StreamTest, MemoryIsZeroedAndAligned) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{100}, std::size_t{3} << 20}) {
    for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kPinnedHost}) {
      const auto stream = backend_->create_stream();
      const auto buffer = backend_->allocate(bytes, kind);
      const std::uintptr_t alignment = kind == MemoryKind::kDevice ? 64 : 4096;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.as<void>()) % alignment, 0u);
      std::vector<unsigned char> contents(bytes, 1);
      backend_->copy(*stream, contents.data(), buffer.as<void>(), bytes);
      stream->synchronize();
      EXPECT_EQ(contents, std::vector<unsigned char>(bytes, 0));
    }
  }
}

TEST_P(StreamTest, NoBytesNeedNoMemory) {
  const auto buffer = backend_->allocate(0, MemoryKind::kDevice);
  EXPECT_EQ(buffer.as<void>(), nullptr);
  EXPECT_EQ(buffer.bytes(), 0u);
}

TEST_P(StreamTest, MoreMemoryThanTheMachineHasIsAnErrorThatSaysHowMuch) {
  try {
    const auto buffer = backend_->allocate(std::size_t{1} << 50, MemoryKind::kDevice);
    ADD_FAILURE() << "got " << buffer.bytes() << " bytes";
  } catch (const io::Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("1125899906842624"), std::string::npos) << text;
    EXPECT_NE(text.find("free"), std::string::npos) << text;
  }
}

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
  const auto x = filled(*stream, 10, 1.0f);
  queue_failure(*stream, bad);
  backend_->add(*stream, x.as<float>(), x.as<float>(), 10);  // after the error: skipped
  EXPECT_THROW(stream->synchronize(), io::Error);
  EXPECT_NO_THROW(stream->synchronize());
  EXPECT_EQ(first(*stream, x), 1.0f);
  backend_->add(*stream, x.as<float>(), x.as<float>(), 10);
  EXPECT_EQ(first(*stream, x), 2.0f) << "the stream works again";
}

TEST_P(StreamTest, AFailedStreamStillReachesItsEvents) {
  const auto failing = backend_->create_stream();
  const auto waiting = backend_->create_stream();
  const auto bad = minus_one(*failing);
  const auto event = backend_->create_event();
  queue_failure(*failing, bad);
  failing->record(*event);
  waiting->wait(*event);
  EXPECT_NO_THROW(waiting->synchronize());
  EXPECT_THROW(failing->synchronize(), io::Error);
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

TEST_P(StreamTest, SeveralThreadsMayQueueOnOneStream) {
  const auto stream = backend_->create_stream();
  const auto x = filled(*stream, 16, 0.0f);
  const auto ones = filled(*stream, 16, 1.0f);
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 500; ++j) backend_->add(*stream, x.as<float>(), ones.as<float>(), 16);
      stream->synchronize();
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(first(*stream, x), 1500.0f);
}

TEST_P(StreamTest, CopyAndZeroReachEveryByte) {
  const auto stream = backend_->create_stream();
  std::vector<unsigned char> bytes(1000003);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i % 251 + 1);
  const auto device = backend_->allocate(bytes.size(), MemoryKind::kDevice);
  const auto pinned = backend_->allocate(bytes.size(), MemoryKind::kPinnedHost);
  backend_->copy(*stream, device.as<void>(), bytes.data(), bytes.size());
  backend_->copy(*stream, pinned.as<void>(), device.as<void>(), bytes.size());
  backend_->zero(*stream, device.as<unsigned char>() + 1, bytes.size() - 2);
  stream->synchronize();
  EXPECT_EQ(std::memcmp(pinned.as<void>(), bytes.data(), bytes.size()), 0);
  std::vector<unsigned char> zeroed(bytes.size());
  backend_->copy(*stream, zeroed.data(), device.as<void>(), bytes.size());
  stream->synchronize();
  EXPECT_EQ(zeroed.front(), bytes.front());
  EXPECT_EQ(zeroed.back(), bytes.back());
  const auto not_zero = [](unsigned char byte) { return byte != 0; };
  EXPECT_EQ(std::count_if(zeroed.begin(), zeroed.end(), not_zero), 2);
}

INSTANTIATE_TEST_SUITE_P(Streams, StreamTest, ::testing::ValuesIn(backends_under_test()),
                         [](const auto& parameter) { return parameter.param.name; });

TEST(CpuBackend, RefusesANegativeNumberOfThreads) {
  EXPECT_THROW(kernels::make_cpu_backend({.threads = -1}), io::Error);
}

TEST(CpuBackend, SaysWhatItRunsOn) {
  EXPECT_EQ(kernels::make_cpu_backend({.threads = 2})->name().rfind("cpu (2 threads, AVX", 0), 0u);
  EXPECT_EQ(kernels::make_cpu_backend({.threads = 1})->name().rfind("cpu (1 thread, AVX", 0), 0u);
}

}  // namespace
}  // namespace mneme::testing
