// A slot that a kept checkpoint refers to is never handed out again before its release.
#include "offload/disk/slot_allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace mneme::offload {
namespace {

TEST(SlotAllocator, ReusesAtOnceWhatNoCheckpointHasSeen) {
  SlotAllocator slots;
  const std::uint32_t first = slots.allocate();
  slots.supersede(first);
  EXPECT_EQ(slots.allocate(), first);
  EXPECT_EQ(slots.slots(), 1u);
}

TEST(SlotAllocator, KeepsWhatTheLastSealHoldsUntilALaterCheckpointIsCommitted) {
  SlotAllocator slots;
  const std::uint32_t first = slots.allocate();
  slots.seal();
  slots.commit(10);
  slots.supersede(first);
  const std::uint32_t second = slots.allocate();
  EXPECT_NE(second, first);
  slots.seal();
  slots.commit(20);
  EXPECT_NE(slots.allocate(), first) << "checkpoint 10 still needs it";
  slots.release(10);
  EXPECT_EQ(slots.allocate(), first);
}

TEST(SlotAllocator, ASealThatIsNeverCommittedStillProtectsUntilTheNextCommit) {
  SlotAllocator slots;
  const std::uint32_t first = slots.allocate();
  slots.seal();
  slots.supersede(first);
  EXPECT_NE(slots.allocate(), first);
}

TEST(SlotAllocator, WhatIsWrittenForACheckpointBehindItsSealBelongsToIt) {
  SlotAllocator slots;
  const std::uint32_t old = slots.allocate();
  slots.seal();
  slots.commit(10);
  const std::uint32_t unseen = slots.allocate();
  slots.seal();
  // The checkpoint's own record of a row takes the place of what the seal found.
  const std::uint32_t saved = slots.allocate(SealSide::kBefore);
  slots.supersede(unseen, SealSide::kBefore);
  EXPECT_EQ(slots.allocate(SealSide::kBefore), unseen) << "no checkpoint will refer to it";
  slots.supersede(old, SealSide::kBefore);
  slots.supersede(saved);
  EXPECT_EQ(slots.free_slots(), 0u);
  slots.commit(20);
  slots.release(10);
  EXPECT_EQ(slots.allocate(), old) << "checkpoint 20 does not refer to it";
  EXPECT_NE(slots.allocate(), saved) << "checkpoint 20 does";
}

// A model of rows and checkpoints drives the allocator at random; no live slot is ever given out.
TEST(SlotAllocator, NeverHandsOutASlotThatALiveRowOrAKeptCheckpointHolds) {
  const unsigned seed = 7;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  SlotAllocator slots;
  std::map<int, std::uint32_t> live;
  std::map<std::uint64_t, std::map<int, std::uint32_t>> kept;
  std::uint64_t epoch = 0;
  for (int i = 0; i < 20000; ++i) {
    const unsigned action = random() % 100;
    if (action < 95) {
      const int row = static_cast<int>(random() % 40);
      const std::uint32_t slot = slots.allocate();
      for (const auto& [other, held] : live) ASSERT_NE(held, slot);
      for (const auto& [name, table] : kept) {
        for (const auto& [other, held] : table) ASSERT_NE(held, slot) << "checkpoint " << name;
      }
      if (const auto old = live.find(row); old != live.end()) slots.supersede(old->second);
      live[row] = slot;
    } else {
      slots.seal();
      slots.commit(++epoch);
      kept[epoch] = live;
      while (kept.size() > 3) {
        slots.release(kept.begin()->first);
        kept.erase(kept.begin());
      }
    }
    if (i % 5000 == 4999) {  // reopen from the kept checkpoints
      if (kept.empty()) continue;
      std::vector<CheckpointTable> tables;
      for (const auto& [name, table] : kept) {
        CheckpointTable checkpoint;
        checkpoint.epoch = name;
        for (const auto& [row, slot] : table) {
          checkpoint.entries.push_back({static_cast<kernels::RowId>(row), slot, 1});
        }
        tables.push_back(checkpoint);
      }
      std::vector<const CheckpointTable*> views;
      for (const auto& table : tables) views.push_back(&table);
      // From the newest checkpoint, or from an older one while the newer ones are kept.
      const std::size_t current = random() % views.size();
      slots.restore(views, current);
      live = std::next(kept.begin(), std::ptrdiff_t(current))->second;
    }
  }
  EXPECT_LT(slots.slots(), 40u * 6) << "slots are reused";
}

}  // namespace
}  // namespace mneme::offload
