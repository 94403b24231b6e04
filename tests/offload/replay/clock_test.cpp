// What rows of a replay wait for, against what can be worked out by hand.
#include <gtest/gtest.h>

#include "offload/replay/link_clock.h"
#include "offload/replay/replay_clock.h"

namespace mneme::offload::testing {
namespace {

TEST(LinkClockTest, TransfersQueueUp) {
  LinkClock link(100);
  EXPECT_DOUBLE_EQ(link.transfer(0, 50), 0.5);
  EXPECT_DOUBLE_EQ(link.transfer(0.2, 50), 1.0);
  EXPECT_DOUBLE_EQ(link.transfer(3, 10), 3.1);
  LinkClock fast(0);
  EXPECT_EQ(fast.transfer(2, 1e18), 2);
  EXPECT_TRUE(fast.is_through(2, fast.add_waiting(2, 1e18)));
}

TEST(LinkClockTest, WaitingWorkHasTheTimeBetweenTransfers) {
  LinkClock link(100);
  const std::uint64_t first = link.add_waiting(0, 30), second = link.add_waiting(0, 30);
  EXPECT_DOUBLE_EQ(link.transfer(0.1, 40), 0.5);  // after 10 bytes of the first
  EXPECT_FALSE(link.is_through(0.5, first));
  EXPECT_FALSE(link.is_through(0.69, first));
  EXPECT_TRUE(link.is_through(0.71, first));
  EXPECT_FALSE(link.is_through(0.71, second));
  // What is left of it, 29 bytes, at once; the queue goes on behind that.
  EXPECT_NEAR(link.hurry(0.71, second), 1.0, 1e-9);
  EXPECT_TRUE(link.is_through(0.71, second));
  EXPECT_EQ(link.waiting_bytes(0.71), 0);

  const std::uint64_t unwanted = link.add_waiting(2, 50), wanted = link.add_waiting(2, 50);
  link.withdraw(2.1, unwanted);
  EXPECT_TRUE(link.is_through(2.1, unwanted));
  EXPECT_FALSE(link.is_through(2.5, wanted));
  EXPECT_TRUE(link.is_through(2.7, wanted));

  link.add_waiting(3, 60);
  link.add_waiting(3, 60);
  EXPECT_DOUBLE_EQ(link.waiting_bytes(3.1), 110);
  EXPECT_NEAR(link.hurry_down_to(3.1, 60), 3.6, 1e-9);  // the 50 that are left of the first
  EXPECT_DOUBLE_EQ(link.waiting_bytes(3.1), 60);
}

// Two leases a step; 1 s of computation.
TEST(ReplayClockTest, StepsTakeComputationAndWhatIsNotBesideIt) {
  ReplayClock clock({.host_link = 100, .disk_link = 50, .step_seconds = 1}, 10, 1000);
  for (int step = 0; step < 4; ++step) {
    clock.begin_step();
    for (int lease = 0; lease < 2; ++lease) {
      clock.begin_lease(false, true);
      if (lease == 0) {
        // Beside each other: there are slots for all that arrives.
        clock.exchange({.lists = {}, .arriving = 3, .leaving = 2, .free_device = 3, .free_host = 2},
                       10, 100);
      } else {
        clock.start_read(10);
        clock.arrive(10);
      }
      const ReplayClock::Waits waits = clock.end_lease(true);
      EXPECT_NEAR(waits.host, lease == 0 ? 0.3 : 0, 1e-9);
      EXPECT_NEAR(waits.disk, lease == 0 ? 0 : 0.2, 1e-9);
    }
  }
  EXPECT_NEAR(clock.seconds(), 4 * 1.5, 1e-9);
  EXPECT_NEAR(clock.computed(), 4, 1e-9);
}

// Rows that need the slots of others wait for these, a whole transfer at a time.
TEST(ReplayClockTest, AnExchangeWithoutFreeSlotsGoesOneWayAfterTheOther) {
  const auto wait_of = [](std::int64_t rows, std::int64_t most) {
    ReplayClock clock({.host_link = 100, .disk_link = 0, .step_seconds = 0}, 10, 1000);
    clock.begin_step();
    clock.begin_lease(false, true);
    clock.exchange({.lists = {}, .arriving = rows, .leaving = rows, .free_host = rows}, 10, most);
    return clock.end_lease(true).host;
  };
  EXPECT_NEAR(wait_of(4, 100), 0.4 + 0.4, 1e-9);  // of so few rows one transfer is made
  EXPECT_NEAR(wait_of(4, 1), 0.4 + 0.1, 1e-9);
}

TEST(ReplayClockTest, RowsAreGeneratedInTheOrderOfWhatArrives) {
  ReplayClock clock({.host_link = 100, .disk_link = 0, .step_seconds = 0, .generate = 200}, 10,
                    1000);
  clock.begin_step();
  clock.begin_lease(false, true);
  clock.exchange({.lists = {}, .arriving = 2, .free_device = 2}, 10, 100);
  clock.generate(40);
  EXPECT_NEAR(clock.end_lease(true).host, 0.2 + 0.2, 1e-9);
}

TEST(ReplayClockTest, ReadsOrWritesMayTakeNoTime) {
  const auto waits_with = [](bool free_reads, bool free_writes) {
    ReplayClock clock({.host_link = 0,
                       .disk_link = 100,
                       .step_seconds = 0,
                       .free_reads = free_reads,
                       .free_writes = free_writes},
                      10, 0);
    clock.begin_step();
    clock.begin_lease(false, true);
    clock.start_read(20);
    clock.write(30);
    clock.arrive(20);
    return clock.end_lease(true);
  };
  EXPECT_NEAR(waits_with(true, false).disk, 0, 1e-9);
  EXPECT_NEAR(waits_with(true, false).write_back, 0.3, 1e-9);
  EXPECT_NEAR(waits_with(false, true).disk, 0.2, 1e-9);
  EXPECT_NEAR(waits_with(false, true).write_back, 0, 1e-9);
}

// The work on a part is short beside that of a step.
TEST(ReplayClockTest, ComputationStandsBehindTheLastPart) {
  ReplayClock clock({.host_link = 100, .disk_link = 0, .step_seconds = 1}, 10, 1000);
  const auto step = [&] {
    clock.begin_step();
    double waited = 0;
    for (int lease = 0; lease < 2; ++lease) {
      for (int part = 0; part < 3; ++part) {
        clock.begin_lease(lease > 0 || part > 0, true);
        clock.exchange({.lists = {}, .arriving = 2, .free_device = 2}, 10, 100);
        waited += clock.end_lease(part == 2).host;
      }
    }
    return waited;
  };
  step();  // how many leases there are is known from then on: two, with half a second each
  // The first part of the second lease comes beside that of the first one.
  EXPECT_NEAR(step(), 3 * 0.2 + 2 * 0.2, 1e-9);
  EXPECT_NEAR(clock.computed(), 2, 1e-9);
}

TEST(ReplayClockTest, HintsAreLateWhereTheyAreNotThere) {
  ReplayClock clock({.host_link = 0, .disk_link = 100, .step_seconds = 1}, 10, 1000);
  for (int step = 0; step < 2; ++step) {
    clock.begin_step();
    clock.begin_lease(false, true);
    clock.end_lease(true);
  }
  clock.begin_step();
  // At the end of this step's only lease 1 s has gone: 100 bytes have come.
  for (kernels::RowId row = 0; row < 4; ++row) clock.fetch(row, 40);
  clock.begin_lease(false, true);
  EXPECT_NEAR(clock.end_lease(true).hint, 0, 1e-9);
  clock.begin_step();
  clock.begin_lease(false, true);
  EXPECT_EQ(clock.take_hinted({0, 1, 2, 7}), 1u);  // 20 bytes are left of row 2
  EXPECT_NEAR(clock.end_lease(true).hint, 0.2, 1e-9);
  clock.forget(3);
  clock.begin_lease(false, true);
  EXPECT_EQ(clock.take_hinted({3}), 0u);
  EXPECT_NEAR(clock.end_lease(true).hint, 0, 1e-9);
}

TEST(ReplayClockTest, WritesWaitUntilThereIsNoRoom) {
  ReplayClock clock({.host_link = 0, .disk_link = 100, .step_seconds = 0}, 10, 50);
  clock.begin_step();
  clock.begin_lease(false, true);
  clock.write(30);
  EXPECT_NEAR(clock.end_lease(true).write_back, 0, 1e-9);
  clock.begin_lease(false, true);
  clock.write(40);
  const ReplayClock::Waits waits = clock.end_lease(true);
  EXPECT_NEAR(waits.write_back, 0.2, 1e-9);  // until 20 of the 70 are written
  EXPECT_EQ(waits.disk, 0);
}

// As the disk takes them: a round's reads before its writes, the next round's behind these; what is
// saved for a checkpoint waits for reads.
TEST(ReplayClockTest, ReadsWaitForWritesOfEarlierRounds) {
  const auto wait_behind = [](double written, double saved) {
    ReplayClock clock({.host_link = 0, .disk_link = 100, .step_seconds = 0}, 10, 1000);
    clock.begin_step();
    clock.begin_lease(false, true);
    clock.start_read(10);
    clock.write(written);
    clock.save(saved);
    clock.arrive(10);
    EXPECT_NEAR(clock.end_lease(true).disk, 0.1, 1e-9);
    clock.begin_lease(false, true);
    clock.start_read(20);
    clock.arrive(20);
    return clock.end_lease(true).disk;
  };
  EXPECT_NEAR(wait_behind(0, 0), 0.2, 1e-9);
  EXPECT_NEAR(wait_behind(50, 0), 0.7, 1e-9);
  EXPECT_NEAR(wait_behind(0, 50), 0.2, 1e-9);
}

}  // namespace
}  // namespace mneme::offload::testing
