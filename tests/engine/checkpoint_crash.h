// Opens what a crash may leave of a run that checkpoints, at every boundary between operations.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/engine/checkpoint_run.h"
#include "tests/support/test_backend.h"

namespace mneme::engine::testing {

using io::CrashPolicy;
using io::SimulatedDisk;

class CheckpointCrash : public ::testing::Test {
 protected:
  // Trains with a checkpoint every other step, on a disk that records every operation.
  std::vector<SavedState> train(SimulatedDisk& disk, std::uint64_t steps) {
    std::vector<SavedState> saved;
    disk.make_directories("/run/rows");
    CheckpointRun run(backend_, disk, 17);
    for (std::uint64_t step = 1; step <= steps; ++step) {
      run.step(step);
      if (step % 2 != 0) continue;
      SavedState state = run.state(step);
      const std::size_t before = disk.operation_count();
      run.save(step);
      state.saved_operation = disk.operation_count();
      state.rename_operation = state.saved_operation;
      for (std::size_t op = before; op < disk.operation_count(); ++op) {
        if (disk.describe_operation(op).rfind("rename", 0) == 0) state.rename_operation = op + 1;
      }
      saved.push_back(state);
    }
    return saved;
  }

  // Opens a crashed disk and compares it with the checkpoints that it may show.
  void expect_opens(SimulatedDisk& crashed, const std::vector<SavedState>& saved,
                    std::size_t boundary, bool go_on) {
    const SavedState* certain = nullptr;
    const SavedState* possible = nullptr;
    for (const SavedState& state : saved) {
      if (state.saved_operation <= boundary) certain = &state;
      if (state.rename_operation <= boundary) possible = &state;
    }
    CheckpointRun run(backend_, crashed, 17);
    if (!run.has_checkpoint()) {
      EXPECT_EQ(certain, nullptr) << "the committed checkpoint is gone";
      return;
    }
    const std::uint64_t step = run.load();
    ASSERT_NE(possible, nullptr);
    const SavedState* shown = step == possible->step ? possible : certain;
    ASSERT_NE(shown, nullptr);
    ASSERT_EQ(step, shown->step);
    const SavedState found = run.state(step);
    EXPECT_EQ(found.records, shown->records);
    EXPECT_EQ(found.dense, shown->dense);
    if (!go_on) return;
    for (std::uint64_t next = step + 1; next <= step + 3; ++next) run.step(next);
    const SavedState later = run.state(step + 3);
    run.save(step + 3);
    CheckpointRun again(backend_, crashed, 17);
    EXPECT_EQ(again.load(), step + 3);
    EXPECT_EQ(again.state(step + 3).records, later.records);
  }

  // Every boundary under every policy, with `seeds` seeds for those that draw at random; every
  // `stride`-th boundary only. Returns the number of states.
  std::size_t campaign(std::uint64_t steps, std::uint64_t seeds, std::size_t stride) {
    SimulatedDisk disk({.seed = 9});
    const std::vector<SavedState> saved = train(disk, steps);
    EXPECT_EQ(saved.size(), steps / 2);
    const std::size_t boundaries = disk.operation_count();
    std::size_t states = 0;
    for (std::size_t boundary = 0; boundary <= boundaries; boundary += stride) {
      for (const auto kind : {CrashPolicy::Kind::kDropUnsynced, CrashPolicy::Kind::kKeepUnsynced,
                              CrashPolicy::Kind::kRandomSubset, CrashPolicy::Kind::kTear,
                              CrashPolicy::Kind::kGarbage}) {
        const bool drawn =
            kind != CrashPolicy::Kind::kDropUnsynced && kind != CrashPolicy::Kind::kKeepUnsynced;
        for (std::uint64_t seed = 1; seed <= (drawn ? seeds : 1); ++seed) {
          const auto crashed = disk.crash_state(boundary, {kind, seed});
          SCOPED_TRACE(::testing::Message()
                       << "boundary " << boundary << " of " << boundaries << " after "
                       << (boundary > 0 ? disk.describe_operation(boundary - 1) : "nothing")
                       << ", policy " << static_cast<int>(kind) << ", seed " << seed);
          expect_opens(*crashed, saved, boundary, states % 37 == 0);
          ++states;
          if (HasFailure()) return states;
        }
      }
    }
    return states;
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
};

}  // namespace mneme::engine::testing
