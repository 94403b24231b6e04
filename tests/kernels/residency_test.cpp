// The device tier's step plan against plain models of each policy.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::kNoSlot;
using kernels::ReplacementKind;
using kernels::RowId;
using kernels::SlotId;

// A slot table with pinned arrays and the caller's side of the plan.
class Plan {
 public:
  Plan(kernels::Backend& backend, std::uint32_t rows, std::uint32_t slots)
      : backend_(backend),
        stream_(backend.create_stream()),
        slot_of_row_(backend, rows),
        row_of_slot_(backend, slots),
        last_used_(backend, slots),
        leased_(backend, slots),
        step_used_(backend, slots),
        inserted_(backend, slots),
        frequency_(backend, slots),
        dirty_(backend, slots),
        referenced_(backend, slots),
        occupied_(backend, slots),
        hand_(backend, 1) {
    table_ = {.slot_of_row = slot_of_row_.data(),
              .row_of_slot = row_of_slot_.data(),
              .dirty = dirty_.data(),
              .last_used = last_used_.data(),
              .leased = leased_.data(),
              .step_used = step_used_.data(),
              .frequency = frequency_.data(),
              .referenced = referenced_.data(),
              .occupied = occupied_.data(),
              .slots = slots,
              .inserted = inserted_.data()};
  }

  const kernels::SlotTable& table() const { return table_; }

  void bind(const std::vector<RowId>& rows, const std::vector<SlotId>& slots,
            std::uint32_t counter) {
    const Pinned<RowId> r(backend_, rows);
    const Pinned<SlotId> s(backend_, slots);
    backend_.bind_slots(*stream_, table_, r.data(), s.data(),
                        static_cast<std::int64_t>(rows.size()), counter);
    stream_->synchronize();
  }
  void mark(const std::vector<SlotId>& slots, kernels::MarkUsedArgs args) {
    const Pinned<SlotId> s(backend_, slots);
    args.slots = s.data();
    args.count = static_cast<std::int64_t>(slots.size());
    backend_.mark_used(*stream_, table_, args);
    stream_->synchronize();
  }
  struct Looked {
    std::vector<SlotId> slots;
    std::vector<RowId> missing;
    std::vector<std::uint32_t> index;
  };
  Looked lookup(const std::vector<RowId>& rows) {
    const auto count = static_cast<std::int64_t>(rows.size());
    const Pinned<RowId> r(backend_, rows), missing(backend_, count);
    const Pinned<SlotId> s(backend_, count);
    const Pinned<std::uint32_t> index(backend_, count);
    const Pinned<std::uint64_t> found(backend_, 1, 99u);
    backend_.lookup_slots(*stream_, table_,
                          {.rows = r.data(),
                           .count = count,
                           .slots = s.data(),
                           .missing_rows = missing.data(),
                           .missing_index = index.data(),
                           .missing_count = found.data()});
    stream_->synchronize();
    const auto n = static_cast<std::int64_t>(found[0]);
    return {s.values(), {missing.data(), missing.data() + n}, {index.data(), index.data() + n}};
  }
  struct Victims {
    std::vector<SlotId> slots;
    std::vector<RowId> rows;
    std::vector<std::uint8_t> dirty;
  };
  Victims select(kernels::SelectVictimsArgs args) {
    const Pinned<SlotId> slots(backend_, args.wanted);
    const Pinned<RowId> rows(backend_, args.wanted);
    const Pinned<std::uint8_t> dirty(backend_, args.wanted);
    const Pinned<std::uint64_t> count(backend_, 1, 99u);
    args.slots = slots.data();
    args.rows = rows.data();
    args.dirty = dirty.data();
    args.count = count.data();
    args.hand = hand_.data();
    backend_.select_victims(*stream_, table_, args);
    stream_->synchronize();
    const auto n = static_cast<std::int64_t>(count[0]);
    return {{slots.data(), slots.data() + n},
            {rows.data(), rows.data() + n},
            {dirty.data(), dirty.data() + n}};
  }
  std::vector<std::pair<SlotId, RowId>> dirty() {
    const Pinned<SlotId> slots(backend_, table_.slots);
    const Pinned<RowId> rows(backend_, table_.slots);
    const Pinned<std::uint64_t> count(backend_, 1);
    backend_.list_dirty(*stream_, table_, slots.data(), rows.data(), count.data());
    stream_->synchronize();
    std::vector<std::pair<SlotId, RowId>> all;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(count[0]); ++i) {
      all.emplace_back(slots[i], rows[i]);
    }
    return all;
  }
  void clear_dirty(const std::vector<SlotId>& slots) {
    const Pinned<SlotId> s(backend_, slots);
    backend_.clear_dirty(*stream_, table_, s.data(), static_cast<std::int64_t>(slots.size()));
    stream_->synchronize();
  }

 private:
  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  Pinned<SlotId> slot_of_row_;
  Pinned<RowId> row_of_slot_;
  Pinned<std::uint32_t> last_used_, leased_, step_used_, inserted_;
  Pinned<float> frequency_;
  Pinned<std::uint8_t> dirty_, referenced_, occupied_;
  Pinned<std::uint32_t> hand_;
  kernels::SlotTable table_;
};

class Residency : public ::testing::TestWithParam<TestBackend> {};

INSTANTIATE_TEST_SUITE_P(Backends, Residency, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

TEST_P(Residency, LookUpSplitsRowsIntoThereAndMissing) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 1000, 8);
  plan.bind({5, 900, 17}, {3, 0, 7}, 1);
  const auto looked = plan.lookup({0, 5, 17, 18, 900, 999});
  EXPECT_EQ(looked.slots, (std::vector<SlotId>{kNoSlot, 3, 7, kNoSlot, 0, kNoSlot}));
  EXPECT_EQ(looked.missing, (std::vector<RowId>{0, 18, 999}));
  EXPECT_EQ(looked.index, (std::vector<std::uint32_t>{0, 3, 5}));
}

TEST_P(Residency, BindingASlotThatIsNotFreeIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        kernels::Backend& backend = shared_backend(GetParam());
        Plan plan(backend, 100, 8);
        plan.bind({5, 6}, {3, 4}, 1);
        plan.bind({7}, {3}, 2);
      },
      "slot 3 of 8 for row 7 is not free");
}

TEST_P(Residency, DirtySlotsAreListedUntilTheyAreCleared) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 100, 8);
  plan.bind({50, 60, 70}, {6, 2, 4}, 1);
  plan.mark({6, kNoSlot, 2}, {.use_counter = 1, .step = 1, .dirty = true});
  EXPECT_EQ(plan.dirty(), (std::vector<std::pair<SlotId, RowId>>{{2, 60}, {6, 50}}));
  plan.clear_dirty({6});
  EXPECT_EQ(plan.dirty(), (std::vector<std::pair<SlotId, RowId>>{{2, 60}}));
}

TEST_P(Residency, VictimsAreUnboundAndSayWhetherTheyAreDirty) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 100, 4);
  plan.bind({10, 11, 12, 13}, {0, 1, 2, 3}, 1);
  plan.mark({1}, {.use_counter = 2, .step = 1, .lease = false, .dirty = true});
  plan.mark({0, 3}, {.use_counter = 3, .step = 1, .lease = false});
  const auto victims =
      plan.select({.wanted = 2, .use_counter = 4, .step = 2, .first_live_lease = 100});
  EXPECT_EQ(victims.slots, (std::vector<SlotId>{2, 1}));
  EXPECT_EQ(victims.rows, (std::vector<RowId>{12, 11}));
  EXPECT_EQ(victims.dirty, (std::vector<std::uint8_t>{0, 1}));
  EXPECT_EQ(plan.lookup({10, 11, 12, 13}).missing, (std::vector<RowId>{11, 12}));
  EXPECT_EQ(plan.table().occupied[1], 0);
  plan.bind({99}, {1}, 5);  // the slot is free again, and clean
  EXPECT_TRUE(plan.dirty().empty());
}

TEST_P(Residency, LeasedSlotsStayAndSlotsOfThisStepGoLast) {
  kernels::Backend& backend = shared_backend(GetParam());
  for (const auto kind :
       {ReplacementKind::kLru, ReplacementKind::kLfu, ReplacementKind::kClock,
        ReplacementKind::kSieve, ReplacementKind::kStaticHot, ReplacementKind::kRandom}) {
    SCOPED_TRACE(static_cast<int>(kind));
    Plan plan(backend, 100, 6);
    plan.bind({0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, 1);
    plan.mark({0, 1}, {.use_counter = 7, .step = 3, .lease = true});   // leased
    plan.mark({2, 3}, {.use_counter = 6, .step = 3, .lease = false});  // of this step
    plan.mark({4, 5}, {.use_counter = 8, .step = 2, .lease = false});
    plan.mark({4, 5}, {.use_counter = 9, .step = 2, .lease = false});
    const kernels::SelectVictimsArgs args{
        .kind = kind, .wanted = 3, .use_counter = 10, .step = 3, .first_live_lease = 7, .seed = 5};
    const auto victims = plan.select(args);
    ASSERT_EQ(victims.slots.size(), 3u);
    EXPECT_EQ(std::set<SlotId>(victims.slots.begin(), victims.slots.begin() + 2),
              (std::set<SlotId>{4, 5}));
    EXPECT_TRUE(victims.slots[2] == 2 || victims.slots[2] == 3);
    const auto rest = plan.select(args);  // wants 3, but two of the three left are leased
    ASSERT_EQ(rest.slots.size(), 1u);
    EXPECT_EQ(rest.slots[0], victims.slots[2] == 2 ? 3u : 2u);
    EXPECT_TRUE(plan.select(args).slots.empty());
  }
}

TEST_P(Residency, LfuForgetsAndStaticHotDoesNot) {
  kernels::Backend& backend = shared_backend(GetParam());
  const auto worst = [&](ReplacementKind kind, float decay) {
    Plan plan(backend, 10, 2);
    plan.bind({1, 2}, {0, 1}, 0);
    for (std::uint32_t use = 1; use <= 5; ++use) {
      plan.mark({0}, {.use_counter = use, .lease = false, .frequency_decay = decay});
    }
    for (std::uint32_t use = 50; use <= 51; ++use) {
      plan.mark({1}, {.use_counter = use, .lease = false, .frequency_decay = decay});
    }
    return plan
        .select({.kind = kind,
                 .wanted = 1,
                 .use_counter = 52,
                 .step = 1,
                 .first_live_lease = 100,
                 .frequency_decay = decay})
        .slots.at(0);
  };
  EXPECT_EQ(worst(ReplacementKind::kLfu, 0.9f), 0u);
  EXPECT_EQ(worst(ReplacementKind::kLfu, 1.0f), 1u);
  EXPECT_EQ(worst(ReplacementKind::kStaticHot, 1.0f), 1u);
}

TEST_P(Residency, ClockGivesReferencedSlotsASecondChance) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 100, 6);
  plan.bind({0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, 1);
  plan.mark({0, 2, 3}, {.use_counter = 2, .step = 1, .lease = false});
  const auto next = [&](std::int64_t wanted) {
    return plan
        .select({.kind = ReplacementKind::kClock,
                 .wanted = wanted,
                 .use_counter = 3,
                 .step = 2,
                 .first_live_lease = 100})
        .slots;
  };
  EXPECT_EQ(next(2), (std::vector<SlotId>{1, 4}));  // passes and clears 0, 2, 3
  plan.bind({10, 11}, {1, 4}, 4);
  plan.mark({5}, {.use_counter = 5, .step = 1, .lease = false});
  EXPECT_EQ(next(2), (std::vector<SlotId>{0, 1}));  // passes 5, comes round
  EXPECT_EQ(next(3), (std::vector<SlotId>{2, 3, 4}));
  EXPECT_EQ(next(1), (std::vector<SlotId>{5}));
}

TEST_P(Residency, SieveSweepsInOrderOfInsertionAndKeepsItsPlace) {
  kernels::Backend& backend = shared_backend(GetParam());
  Plan plan(backend, 100, 4);
  // Oldest first: slots 2, 0, 3, 1.
  plan.bind({20}, {2}, 1);
  plan.bind({0}, {0}, 2);
  plan.bind({30}, {3}, 3);
  plan.bind({10}, {1}, 4);
  plan.mark({2, 3}, {.use_counter = 5, .step = 1, .lease = false});
  const auto next = [&] {
    return plan
        .select({.kind = ReplacementKind::kSieve,
                 .wanted = 1,
                 .use_counter = 6,
                 .step = 2,
                 .first_live_lease = 100})
        .slots.at(0);
  };
  // The hand starts at slot 0 and moves towards newer rows: 0, then past 3 to 1, then the new ones.
  EXPECT_EQ(next(), 0u);
  plan.bind({40}, {0}, 7);  // newest
  EXPECT_EQ(next(), 1u);    // clears 3
  plan.bind({41}, {1}, 8);
  EXPECT_EQ(next(), 0u);  // the new row in slot 0 comes after, not yet used again
  plan.bind({42}, {0}, 9);
  EXPECT_EQ(next(), 1u);
}

// Many slots against sorting all of them.
TEST_P(Residency, LruAndRandomOfManySlotsMatchAFullSort) {
  kernels::Backend& backend = shared_backend(GetParam());
  constexpr std::uint32_t kSlots = 30000;
  Plan plan(backend, kSlots, kSlots);
  std::vector<RowId> rows(kSlots);
  std::iota(rows.begin(), rows.end(), 0u);
  plan.bind(rows, rows, 1);
  std::mt19937 engine(8);
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    plan.table().last_used[slot] = engine() % 300 * 1000;
    plan.table().step_used[slot] = engine() % 8;
  }
  std::vector<SlotId> expected(kSlots);
  std::iota(expected.begin(), expected.end(), 0u);
  const kernels::SlotTable& table = plan.table();
  std::stable_sort(expected.begin(), expected.end(), [&](SlotId a, SlotId b) {
    const auto key = [&](SlotId s) {
      return std::pair{table.step_used[s] == 3, table.last_used[s]};
    };
    return key(a) < key(b);
  });
  expected.resize(12345);
  kernels::SelectVictimsArgs args{
      .wanted = 12345, .use_counter = 400000, .step = 3, .first_live_lease = 9};
  EXPECT_TRUE(plan.select(args).slots == expected);
  // Random: no slot twice, another seed gives others, and the same seed the same.
  args.kind = ReplacementKind::kRandom;
  args.wanted = 5000;
  const auto drawn = plan.select(args).slots;
  EXPECT_EQ(std::set<SlotId>(drawn.begin(), drawn.end()).size(), 5000u);
}

TEST_P(Residency, RandomVictimsAreAFunctionOfSeedAndCounter) {
  kernels::Backend& backend = shared_backend(GetParam());
  const auto drawn = [&](std::uint64_t seed, std::uint32_t counter) {
    Plan plan(backend, 1000, 1000);
    std::vector<RowId> rows(1000);
    std::iota(rows.begin(), rows.end(), 0u);
    plan.bind(rows, rows, 1);
    return plan
        .select({.kind = ReplacementKind::kRandom,
                 .wanted = 100,
                 .use_counter = counter,
                 .step = 3,
                 .first_live_lease = 9,
                 .seed = seed})
        .slots;
  };
  EXPECT_TRUE(drawn(1, 5) == drawn(1, 5));
  EXPECT_FALSE(drawn(1, 5) == drawn(2, 5));
  EXPECT_FALSE(drawn(1, 5) == drawn(1, 6));
}

}  // namespace
}  // namespace mneme::testing
