// Victims of every policy, round after round, against scores that are worked out slot by slot and
// sorted as a whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

#include "kernels/slot_scores.h"
#include "tests/kernels/test_tiers.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::ReplacementKind;
using kernels::RowId;
using kernels::SlotId;

constexpr std::uint32_t kNow = 1'000'000;  // the use counter, about
constexpr std::uint32_t kSteps = 5000;     // the step, about

// A device tier all of whose slots are bound: slot s to row s * 3.
struct Slots {
  Slots(kernels::Backend& backend, std::uint32_t slots, bool inserted_order)
      : tiers(backend, slots * 3, slots, 0, {.inserted = inserted_order, .uses = true}),
        table(tiers.device()) {
    std::mt19937 engine(slots);
    for (SlotId s = 0; s < slots; ++s) bind(s, engine, kNow);
  }
  void bind(SlotId s, std::mt19937& engine, std::uint32_t now) const {
    table.row_of_slot[s] = s * 3;
    table.locations[s * 3] = location_of(kernels::Place::kDevice, s);
    table.occupied[s] = 1;
    table.state[s] = engine() % 8;
    table.last_used[s] = now - engine() % (engine() % 2 == 0 ? 40 : 5000);
    table.leased[s] = engine() % 8 == 0 ? now : 0;
    table.step_used[s] = kSteps + engine() % 4 - engine() % (engine() % 2 == 0 ? 40 : 4000);
    table.frequency[s] = static_cast<float>(engine() % 64) * 0.375f;
    table.uses[s] = static_cast<float>(engine() % 16);
    table.referenced[s] = engine() % 2;
    const std::uint32_t inserted = engine() % 60;
    if (table.inserted != nullptr) table.inserted[s] = inserted;
  }
  std::vector<std::uint8_t> referenced() const {
    return {table.referenced, table.referenced + table.slots};
  }

  TestTiers tiers;
  kernels::SlotTable table;
};

// What must come out: the victims and, for a hand, where it stops and whom it clears.
struct Expected {
  std::vector<SlotId> slots;
  std::vector<std::uint8_t> referenced;
  std::uint32_t hand = 0;
};

Expected expect(const Slots& state, const kernels::SelectVictimsArgs& args, std::uint32_t hand) {
  const kernels::SlotTable& table = state.table;
  namespace scores = kernels::slot_scores;
  const std::uint64_t hand_place =
      scores::has_hand(args.kind) ? scores::queue_place(table, args.kind, hand) : 0;
  std::vector<std::pair<std::uint64_t, SlotId>> all;
  for (SlotId s = 0; s < table.slots; ++s) {
    if (table.occupied[s] == 0 || table.leased[s] >= args.first_live_lease) continue;
    all.emplace_back(scores::score(table, args.kind, args, s, hand_place), s);
  }
  std::sort(all.begin(), all.end());
  Expected expected{{}, state.referenced(), hand};
  const std::size_t found = std::min(static_cast<std::size_t>(args.wanted), all.size());
  if (found == 0) return expected;
  const std::uint64_t last = all[found - 1].first;
  for (const bool at_last : {false, true}) {
    const std::size_t first = expected.slots.size();
    for (std::size_t i = 0; i < found; ++i) {
      if ((all[i].first == last) == at_last) expected.slots.push_back(all[i].second);
    }
    std::sort(expected.slots.begin() + static_cast<std::ptrdiff_t>(first), expected.slots.end());
  }
  if (!scores::has_hand(args.kind)) return expected;

  for (const auto& [score, s] : all) {
    if (scores::hand_clears(score, last)) expected.referenced[s] = 0;
  }
  std::vector<bool> gone(table.slots);
  for (const SlotId s : expected.slots) gone[s] = true;
  std::uint64_t nearest = scores::kNowhere;
  for (SlotId s = 0; s < table.slots; ++s) {
    if (!gone[s]) nearest = std::min(nearest, scores::place_after(table, args.kind, s, last));
  }
  expected.hand = scores::hand_at(nearest);
  return expected;
}

struct Shape {
  std::uint32_t slots;
  std::int64_t wanted;
};

class SelectVictims : public ::testing::TestWithParam<std::tuple<Shape, ReplacementKind, bool>> {};

TEST_P(SelectVictims, AreTheLowestScoresOfEveryRound) {
  const auto [shape, kind, inserted_order] = GetParam();
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const auto stream = backend.create_stream();
    const Slots state(backend, shape.slots, inserted_order);
    const Pinned<SlotId> slots(backend, shape.wanted);
    const Pinned<RowId> rows(backend, shape.wanted);
    const Pinned<std::uint8_t> states(backend, shape.wanted);
    const Pinned<std::uint64_t> count(backend, 1);
    const Pinned<std::uint32_t> hand(backend, 1, shape.slots / 2);
    std::mt19937 engine(7);
    const Pinned<std::uint32_t> next_use(backend, shape.slots * 3);
    for (std::int64_t row = 0; row < shape.slots * 3; ++row) {
      next_use[row] = engine() % 5 == 0 ? 0xffffffffu : 1000 + engine() % 100'000;
    }
    for (std::uint32_t round = 0; round < 4; ++round) {
      SCOPED_TRACE(round);
      const kernels::SelectVictimsArgs args{.kind = kind,
                                            .wanted = shape.wanted,
                                            .use_counter = kNow + 1 + round,
                                            .step = kSteps + round,
                                            .first_live_lease = kNow,
                                            .seed = 0x123456789abcu,
                                            .next_use = next_use.data(),
                                            .now = 1000,
                                            .slots = slots.data(),
                                            .rows = rows.data(),
                                            .state = states.data(),
                                            .count = count.data(),
                                            .hand = hand.data()};
      const Expected expected = expect(state, args, hand[0]);
      backend.select_victims(*stream, state.table, args);
      stream->synchronize();

      ASSERT_EQ(count[0], expected.slots.size());
      for (std::size_t i = 0; i < expected.slots.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        const SlotId slot = expected.slots[i];
        ASSERT_EQ(slots[at], slot);
        ASSERT_EQ(rows[at], slot * 3);
        ASSERT_EQ(states[at], state.table.state[slot]);
        ASSERT_EQ(state.table.occupied[slot], 0);
        const kernels::Place place = (states[at] & (kernels::kDirty | kernels::kOnDisk)) == 0
                                         ? kernels::Place::kUntouched
                                         : kernels::Place::kDisk;
        ASSERT_EQ(kernels::place_of(state.table.locations[slot * 3]), place);
      }
      EXPECT_TRUE(state.referenced() == expected.referenced);
      EXPECT_EQ(hand[0], expected.hand);
      // Half of the slots get rows again.
      for (std::size_t i = 0; i < expected.slots.size(); i += 2) {
        state.bind(expected.slots[i], engine, kNow + 1 + round);
      }
    }
  }
}

TEST(AgeClass, TellsAgesApartToOnePartIn32) {
  using kernels::slot_scores::age_class;
  for (std::uint32_t age = 0; age < 64; ++age) ASSERT_EQ(age_class(age), age);
  for (std::uint64_t age = 64; age < std::uint64_t{1} << 32; age += 1 + age / 1000) {
    const std::uint64_t own = age_class(static_cast<std::uint32_t>(age));
    ASSERT_GE(own, age_class(static_cast<std::uint32_t>(age - 1)));
    ASSERT_GT(own, age_class(static_cast<std::uint32_t>(age - 1 - age / 31)));
  }
  EXPECT_LT(age_class(0xffffffffu), kernels::slot_scores::kAgeClasses);
}

INSTANTIATE_TEST_SUITE_P(
    Policies, SelectVictims,
    ::testing::Combine(::testing::Values(Shape{1, 1}, Shape{31, 5}, Shape{2500, 0},
                                         Shape{2500, 700}, Shape{9000, 20000}),
                       ::testing::Values(ReplacementKind::kLru, ReplacementKind::kLfu,
                                         ReplacementKind::kClock, ReplacementKind::kSieve,
                                         ReplacementKind::kStaticHot, ReplacementKind::kRandom,
                                         ReplacementKind::kBelady),
                       ::testing::Bool()));

}  // namespace
}  // namespace mneme::testing
