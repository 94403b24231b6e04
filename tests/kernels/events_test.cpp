// What the host learns of events, on every backend. How they order streams: streams_test.cpp.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "io/error.h"
#include "tests/support/test_backend.h"
#include "tests/support/transfer.h"

namespace mneme::testing {
namespace {

using kernels::MemoryKind;

class EventTest : public ::testing::TestWithParam<TestBackend> {
 protected:
  std::unique_ptr<kernels::Backend> backend_ = GetParam().make();

  kernels::Buffer ones(kernels::Stream& stream, std::size_t count) {
    return upload(*backend_, stream, std::vector<float>(count, 1.0f));
  }
};

TEST_P(EventTest, AnEventThatWasNeverRecordedIsReached) {
  const auto event = backend_->create_event();
  EXPECT_TRUE(event->reached());
  event->synchronize();
}

// Behind what was queued before it, and in front of what comes after.
TEST_P(EventTest, WorkOfTheHostRunsAtItsPointOfTheStream) {
  const auto stream = backend_->create_stream();
  const auto event = backend_->create_event();
  const auto x = ones(*stream, 100000);
  const auto seen = backend_->allocate(4, MemoryKind::kPinnedHost);
  std::vector<float> at_call;
  for (int i = 1; i <= 5; ++i) {
    backend_->add(*stream, x.as<float>(), x.as<float>(), 100000);
    backend_->copy(*stream, seen.as<void>(), x.as<void>(), 4);
    stream->run_on_host([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      at_call.push_back(*seen.as<float>());
    });
  }
  stream->record(*event);
  event->synchronize();
  EXPECT_EQ(at_call, (std::vector<float>{2, 4, 8, 16, 32}));
}

// Whoever waits for a record waits for that one, whatever another stream records meanwhile.
TEST_P(EventTest, ARecordOfAnotherStreamEndsNobodysWaiting) {
  const auto slow = backend_->create_stream(), fast = backend_->create_stream(),
             waiting = backend_->create_stream();
  const auto event = backend_->create_event();
  const auto x = ones(*slow, 1000);
  const auto seen = backend_->allocate(4, MemoryKind::kPinnedHost);
  slow->run_on_host([] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); });
  backend_->add(*slow, x.as<float>(), x.as<float>(), 1000);
  slow->record(*event);
  waiting->wait(*event);
  fast->record(*event);
  fast->synchronize();
  backend_->copy(*waiting, seen.as<void>(), x.as<void>(), 4);
  waiting->synchronize();
  EXPECT_EQ(*seen.as<float>(), 2.0f);
  slow->synchronize();
}

TEST_P(EventTest, AnEventThatIsAskedIsReachedInTheEnd) {
  const auto stream = backend_->create_stream();
  const auto event = backend_->create_event();
  const auto x = ones(*stream, 100000);
  const auto seen = backend_->allocate(4, MemoryKind::kPinnedHost);
  for (int i = 1; i <= 5; ++i) {
    backend_->add(*stream, x.as<float>(), x.as<float>(), 100000);
    backend_->copy(*stream, seen.as<void>(), x.as<void>(), 4);
    stream->record(*event);
    while (!event->reached()) std::this_thread::yield();
    EXPECT_TRUE(event->reached());
    EXPECT_EQ(*seen.as<float>(), static_cast<float>(1 << i)) << "all before the record has run";
  }
  // An event that is not reached yet leaves no error behind.
  stream->record(*event);
  static_cast<void>(event->reached());
  EXPECT_NO_THROW(backend_->add(*stream, x.as<float>(), x.as<float>(), 100000));
  EXPECT_NO_THROW(stream->synchronize());
  EXPECT_TRUE(event->reached());
}

TEST_P(EventTest, AnEventThatIsWaitedForIsReached) {
  const auto stream = backend_->create_stream();
  const auto event = backend_->create_event();
  const auto x = ones(*stream, 100000);
  const auto seen = backend_->allocate(4, MemoryKind::kPinnedHost);
  for (int i = 1; i <= 5; ++i) {
    backend_->add(*stream, x.as<float>(), x.as<float>(), 100000);
    backend_->copy(*stream, seen.as<void>(), x.as<void>(), 4);
    stream->record(*event);
    event->synchronize();
    EXPECT_TRUE(event->reached());
    EXPECT_EQ(*seen.as<float>(), static_cast<float>(1 << i));
  }
}

// Whether the event tells of the failure, too, is the backend's affair; see
// carried_errors_test.cpp.
TEST_P(EventTest, WaitingForAnEventLeavesTheStreamsErrorToTheStream) {
  const auto failing = backend_->create_stream();
  const auto minus_one = upload<std::int32_t>(*backend_, *failing, {-1});
  const auto event = backend_->create_event();
  // A token outside the vocabulary.
  backend_->embedding(*failing, {.tokens = minus_one.as<std::int32_t>(),
                                 .table = minus_one.as<float>(),
                                 .out = minus_one.as<float>(),
                                 .count = 1,
                                 .width = 1,
                                 .vocabulary = 1});
  failing->record(*event);
  while (!event->reached()) std::this_thread::yield();
  EXPECT_THROW(failing->synchronize(), io::Error);
  failing->record(*event);
  EXPECT_NO_THROW(event->synchronize()) << "the stream works again";
}

INSTANTIATE_TEST_SUITE_P(Events, EventTest, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

}  // namespace
}  // namespace mneme::testing
