// Failures of work on the CPU backend go wherever events carry them: nothing computes with what
// failed work has not written.
#include <gtest/gtest.h>
#include <pthread.h>

#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <string>

#include "io/error.h"
#include "kernels/cpu/cpu_stream.h"
#include "tests/support/transfer.h"

namespace mneme::testing {
namespace {

using kernels::cpu::CpuStream;
using kernels::cpu::Scratch;

class CarriedErrors : public ::testing::Test {
 protected:
  std::unique_ptr<kernels::Stream> stream() { return backend_->create_stream(); }
  std::unique_ptr<kernels::Event> event() { return backend_->create_event(); }

  static void enqueue(kernels::Stream& stream, CpuStream::Work work) {
    dynamic_cast<CpuStream&>(stream).enqueue(std::move(work));
  }
  // Queues an operation whose scratch memory no machine has.
  static void want_too_much_scratch(kernels::Stream& stream) {
    enqueue(stream, [](Scratch& scratch) { scratch.take<double>(std::int64_t{1} << 50); });
  }

  static std::string error_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const io::Error& error) {
      return error.what();
    }
    return {};
  }

  std::unique_ptr<kernels::Backend> backend_ = kernels::make_cpu_backend({.threads = 2});
};

// The first, the second, ... operation of the planning stream finds no memory.
TEST_F(CarriedErrors, ScratchThatFailsOnOneStreamKeepsTheOthersFromRunningWithItsResults) {
  constexpr int kOperations = 4;
  for (int failing = 0; failing < kOperations; ++failing) {
    const auto plan = stream(), transfers = stream(), compute = stream();
    const auto planned = event(), moved = event();
    int planned_operations = 0, moves = 0, computed = 0;
    for (int i = 0; i < kOperations; ++i) {
      if (i == failing) want_too_much_scratch(*plan);
      enqueue(*plan, [&](Scratch&) { ++planned_operations; });
    }
    plan->record(*planned);
    transfers->wait(*planned);
    enqueue(*transfers, [&](Scratch&) { ++moves; });
    transfers->record(*moved);
    compute->wait(*moved);
    enqueue(*compute, [&](Scratch&) { ++computed; });

    for (const auto& failed : {compute.get(), transfers.get(), plan.get()}) {
      EXPECT_NE(error_of([&] { failed->synchronize(); }).find("out of memory"), std::string::npos);
    }
    EXPECT_EQ(planned_operations, failing);
    EXPECT_EQ(moves, 0);
    EXPECT_EQ(computed, 0);
  }
}

TEST_F(CarriedErrors, EachStreamWorksAgainOnceItHasThrown) {
  const auto failing = stream(), waiting = stream();
  const auto handed_over = event();
  want_too_much_scratch(*failing);
  failing->record(*handed_over);
  waiting->wait(*handed_over);
  EXPECT_THROW(failing->synchronize(), io::Error);
  EXPECT_NO_THROW(failing->synchronize());

  // Clean again where it is recorded; the other stream has yet to tell of what it skipped.
  int runs = 0;
  failing->record(*handed_over);
  EXPECT_NO_THROW(handed_over->synchronize());
  enqueue(*waiting, [&](Scratch&) { ++runs; });
  EXPECT_THROW(waiting->synchronize(), io::Error);
  EXPECT_EQ(runs, 0);
  waiting->wait(*handed_over);
  enqueue(*waiting, [&](Scratch&) { ++runs; });
  EXPECT_NO_THROW(waiting->synchronize());
  EXPECT_EQ(runs, 1);
}

// The waiting stream is busy until the event has been recorded again without a failure.
TEST_F(CarriedErrors, AWaitFailsWithTheRecordThatItWasQueuedFor) {
  const auto failing = stream(), waiting = stream(), gate_keeper = stream();
  const auto handed_over = event(), gate = event();
  std::mutex closed;
  closed.lock();
  enqueue(*gate_keeper, [&](Scratch&) { const std::lock_guard lock(closed); });
  gate_keeper->record(*gate);
  want_too_much_scratch(*failing);
  failing->record(*handed_over);
  waiting->wait(*gate);
  waiting->wait(*handed_over);
  int runs = 0;
  enqueue(*waiting, [&](Scratch&) { ++runs; });
  EXPECT_THROW(failing->synchronize(), io::Error);
  for (int i = 0; i < 3; ++i) failing->record(*handed_over);
  EXPECT_NO_THROW(handed_over->synchronize());
  closed.unlock();
  EXPECT_THROW(waiting->synchronize(), io::Error);
  EXPECT_EQ(runs, 0);
}

TEST_F(CarriedErrors, AWaitThatComesLaterFailsAsWell) {
  const auto failing = stream(), waiting = stream();
  const auto handed_over = event();
  want_too_much_scratch(*failing);
  failing->record(*handed_over);
  EXPECT_THROW(failing->synchronize(), io::Error);
  waiting->wait(*handed_over);
  int runs = 0;
  enqueue(*waiting, [&](Scratch&) { ++runs; });
  EXPECT_THROW(waiting->synchronize(), io::Error);
  EXPECT_EQ(runs, 0);
}

TEST_F(CarriedErrors, TheHostLearnsOfItFromTheEvent) {
  const auto failing = stream();
  const auto start = event(), end = event();
  failing->record(*start);
  want_too_much_scratch(*failing);
  failing->record(*end);
  EXPECT_THROW(end->synchronize(), io::Error);
  EXPECT_TRUE(end->reached());
  EXPECT_NO_THROW(start->synchronize());
  EXPECT_THROW(static_cast<void>(end->seconds_since(*start)), io::Error);
  EXPECT_THROW(failing->synchronize(), io::Error) << "it stays with its stream";
}

TEST_F(CarriedErrors, AFailureDoesNotReachStreamsThatWaitForEarlierRecords) {
  const auto failing = stream(), waiting = stream();
  const auto before = event();
  failing->record(*before);
  want_too_much_scratch(*failing);
  waiting->wait(*before);
  int runs = 0;
  enqueue(*waiting, [&](Scratch&) { ++runs; });
  EXPECT_NO_THROW(waiting->synchronize());
  EXPECT_EQ(runs, 1);
  EXPECT_THROW(failing->synchronize(), io::Error);
}

TEST_F(CarriedErrors, WorkThatFindsNoHeapMemorySaysSo) {
  const auto failing = stream();
  enqueue(*failing, [](Scratch&) { throw std::bad_alloc(); });
  const std::string message = error_of([&] { failing->synchronize(); });
  EXPECT_NE(message.find("out of memory"), std::string::npos) << message;
}

TEST_F(CarriedErrors, AStreamThatFailedThroughAnEventGoesInSilence) {
  const auto failing = stream();
  const auto handed_over = event();
  ::testing::internal::CaptureStderr();
  {
    const auto waiting = stream();
    want_too_much_scratch(*failing);
    failing->record(*handed_over);
    waiting->wait(*handed_over);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "") << "the failing stream tells of it";
  EXPECT_THROW(failing->synchronize(), io::Error);
}

// A thread of the default stack's size finds no room.
TEST_F(CarriedErrors, AStreamWhoseThreadCannotStartSaysWhichLimitToRaise) {
  pthread_attr_t standard, huge;
  ASSERT_EQ(pthread_getattr_default_np(&standard), 0);
  ASSERT_EQ(pthread_getattr_default_np(&huge), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&huge, std::size_t{1} << 48), 0);
  ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
  const std::string message = error_of([&] { static_cast<void>(stream()); });
  ASSERT_EQ(pthread_setattr_default_np(&standard), 0);
  EXPECT_NE(message.find("ulimit"), std::string::npos) << message;
  EXPECT_NO_THROW(stream()->synchronize());
}

}  // namespace
}  // namespace mneme::testing
