// The step plan's operations, round after round, against a plain model of them: every list, every
// location, every slot and every queue agree. The tables are tiny, so that everything that can
// happen does.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/kernels/tier_model.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::Place;
using kernels::place_of;
using kernels::RowId;
using kernels::SlotId;

// Drives tables and model alike. Each round is a step of a tiered store: its plan frees the slots
// of victims, binds, and only then gives the victims a place, which the bound rows may have left.
class Rounds {
 public:
  Rounds(kernels::Backend& backend, std::uint32_t seed, std::uint32_t host_slots)
      : random_(seed),
        tiers_(backend, kRows, kDeviceSlots, host_slots,
               {.inserted = seed % 2 == 0, .uses = seed >= 2}),
        model_(kRows, kDeviceSlots, host_slots) {
    std::vector<RowId> on_disk;
    for (RowId row = 0; row < kRows; row += 3) on_disk.push_back(row);
    tiers_.place_on_disk(on_disk);
    model_.place_on_disk(on_disk);
  }

  void play_round() {
    ++counter_;
    step_ = 1 + counter_ / 2;
    const std::vector<RowId> rows = draw_rows();
    const bool protect = !chance(4);
    TestTiers::Looked looked = look_up(rows, protect ? counter_ : 0, true);
    expect_equal(tiers_, model_);
    if (chance(5)) copy_only(rows, looked);
    mark(looked.slots, {.use = false});
    const std::int64_t wanted = victims_for(std::ssize(looked.missing));
    make_host_room(wanted, protect ? static_cast<std::int64_t>(looked.report.in_host) : 0);
    // Victims of the host tier may have been rows of this step.
    if (!protect) looked = look_up(rows, 0, true);
    const TestTiers::Victims victims = select(Place::kDevice, wanted);
    expect_equal(tiers_, model_);
    release(Place::kDevice, victims);
    const std::vector<SlotId> slots = bind(rows, looked);
    expect_equal(tiers_, model_);
    if (tiers_.host().slots > 0) demote(victims);
    expect_equal(tiers_, model_);
    mark(slots, {.use = true, .lease = chance(2), .dirty = chance(2)});
    if (chance(4)) save(Place::kDevice);
    if (tiers_.host().slots > 0 && chance(4)) save(Place::kHost);
    if (tiers_.host().slots > 0) prefetch();
    expect_equal(tiers_, model_);
    hint_to_device();
    expect_equal(tiers_, model_);
    if (chance(2)) keep(Place::kDevice);
    if (tiers_.host().slots > 0 && chance(2)) keep(Place::kHost);
    expect_equal(tiers_, model_);
  }

  // What many rounds must have come across.
  void expect_variety() const {
    if (tiers_.host().slots == 0) return;
    EXPECT_GT(model_.device().dropped, 0u);
    EXPECT_GT(model_.host().prefetch_used, 0u);
    EXPECT_GT(model_.device().prefetch_used, 0u);
    EXPECT_GT(model_.device().prefetch_wasted, 0u);
    EXPECT_GT(narrow_plans_, 5);
    EXPECT_GT(kept_, 5);
  }

 private:
  static constexpr std::uint32_t kRows = 40, kDeviceSlots = 9, kMostRows = 5;

  bool chance(std::uint32_t one_in) { return random_() % one_in == 0; }
  const kernels::SlotTable& table(Place place) const {
    return place == Place::kDevice ? tiers_.device() : tiers_.host();
  }

  std::vector<RowId> draw_rows() {
    std::vector<RowId> rows;
    const std::uint32_t count = random_() % (kMostRows + 1);
    while (rows.size() < count) {
      const RowId row = random_() % (chance(2) ? kRows : kRows / 3);
      if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(row);
    }
    std::sort(rows.begin(), rows.end());
    return rows;
  }

  TestTiers::Looked look_up(const std::vector<RowId>& rows, std::uint32_t host_lease,
                            bool use_hints) {
    TestTiers::Looked looked = tiers_.lookup(rows, host_lease, use_hints);
    const TestTiers::Looked expected = model_.lookup(rows, host_lease, use_hints);
    EXPECT_EQ(looked.slots, expected.slots);
    EXPECT_EQ(looked.missing, expected.missing);
    EXPECT_EQ(looked.disk_rows, expected.disk_rows);
    EXPECT_EQ(looked.hinted_rows, expected.hinted_rows);
    EXPECT_EQ(looked.report.in_host, expected.report.in_host);
    EXPECT_EQ(looked.report.untouched, expected.report.untouched);
    EXPECT_EQ(looked.report.on_disk, expected.report.on_disk);
    EXPECT_EQ(looked.report.device.free, expected.report.device.free);
    EXPECT_EQ(looked.report.device.dropped, expected.report.device.dropped);
    EXPECT_EQ(looked.report.device.prefetch_used, expected.report.device.prefetch_used);
    EXPECT_EQ(looked.report.host.free, expected.report.host.free);
    EXPECT_EQ(looked.report.host.prefetch_used, expected.report.host.prefetch_used);
    return looked;
  }

  void mark(const std::vector<SlotId>& slots, kernels::MarkUsedArgs args) {
    args.use_counter = counter_;
    args.step = step_;
    tiers_.mark(tiers_.device(), slots, args);
    model_.mark(Place::kDevice, slots, args);
  }

  TestTiers::Victims select(Place place, std::int64_t wanted) {
    const kernels::SelectVictimsArgs args{
        .wanted = wanted, .use_counter = counter_, .step = step_, .first_live_lease = counter_};
    TestTiers::Victims victims = tiers_.select(table(place), args);
    const TestTiers::Victims expected = model_.select(place, args);
    EXPECT_EQ(victims.slots, expected.slots);
    EXPECT_EQ(victims.rows, expected.rows);
    EXPECT_EQ(victims.state, expected.state);
    EXPECT_EQ(victims.last_used, expected.last_used);
    EXPECT_EQ(victims.step_used, expected.step_used);
    if (table(place).uses != nullptr) {
      EXPECT_EQ(victims.uses, expected.uses);
    }
    return victims;
  }

  // Sometimes one more than needed.
  std::int64_t victims_for(std::int64_t missing) {
    const auto free = std::ssize(model_.device().free);
    return std::max<std::int64_t>(0, missing - free) + (chance(3) ? 1 : 0);
  }

  // Frees just the host slots that as many victims need beyond those that are free and those that
  // rows bound in this round leave.
  void make_host_room(std::int64_t victims, std::int64_t leaving) {
    if (tiers_.host().slots == 0) return;
    const std::int64_t needed = victims - leaving - std::ssize(model_.host().free);
    release(Place::kHost, select(Place::kHost, std::max<std::int64_t>(0, needed)));
    if (std::ssize(model_.host().free) < victims) ++narrow_plans_;
  }

  void demote(const TestTiers::Victims& victims) {
    const std::int64_t padding = random_() % 3;
    const TestTiers::Demoted demoted = tiers_.demote(victims, counter_, padding);
    const TestTiers::Demoted expected = model_.demote(victims, counter_, padding);
    EXPECT_EQ(demoted.from, expected.from);
    EXPECT_EQ(demoted.to, expected.to);
  }

  void release(Place place, const TestTiers::Victims& victims) {
    tiers_.release(table(place), victims.slots);
    model_.release(place, victims.slots);
  }

  // In two stretches of the list. The slots of all rows, in the end.
  std::vector<SlotId> bind(const std::vector<RowId>& rows, const TestTiers::Looked& looked) {
    const std::size_t split = looked.missing.empty() ? 0 : random_() % (looked.missing.size() + 1);
    const auto middle = looked.missing.begin() + static_cast<std::ptrdiff_t>(split);
    std::vector<SlotId> slots = looked.slots;
    for (const std::vector<std::uint32_t>& stretch :
         {std::vector(looked.missing.begin(), middle), std::vector(middle, looked.missing.end())}) {
      slots = bind(rows, slots, stretch, {.use_counter = counter_, .step_used = step_});
    }
    for (const SlotId slot : slots) EXPECT_LT(slot, kDeviceSlots);
    return slots;
  }
  std::vector<SlotId> bind(const std::vector<RowId>& rows, const std::vector<SlotId>& slots,
                           const std::vector<std::uint32_t>& missing,
                           const kernels::BindMissingArgs& args) {
    const TestTiers::Bound bound = tiers_.bind(rows, slots, missing, args);
    const TestTiers::Bound expected = model_.bind(rows, slots, missing, args);
    EXPECT_EQ(bound.slots, expected.slots);
    EXPECT_EQ(bound.from, expected.from);
    EXPECT_EQ(bound.to, expected.to);
    EXPECT_EQ(bound.rows, expected.rows);
    return bound.slots;
  }

  void copy_only(const std::vector<RowId>& rows, const TestTiers::Looked& looked) {
    bind(rows, looked.slots, looked.missing, {.use_counter = counter_, .copy_only = true});
    expect_equal(tiers_, model_);
  }

  // Begins a checkpoint, or takes some rows for written.
  void save(Place place) {
    EXPECT_EQ(tiers_.dirty(table(place)), model_.dirty(place));
    if (chance(2)) {
      tiers_.mark_unsaved(table(place));
      model_.mark_unsaved(place);
      return;
    }
    std::vector<RowId> rows;
    for (RowId row = 0; row < kRows; ++row) {
      if (chance(2)) rows.push_back(row);
    }
    EXPECT_EQ(tiers_.take_unsaved(rows), model_.take_unsaved(rows));
  }

  // Takes free slots of the host tier, publishes rows on disk in some, and gives back the others.
  void prefetch() {
    const std::int64_t most = random_() % 4;
    std::vector<SlotId> taken = tiers_.take(tiers_.host(), most);
    EXPECT_EQ(taken, model_.take(Place::kHost, most));
    std::vector<RowId> rows;
    for (RowId row = random_() % kRows; row < kRows && rows.size() < taken.size(); ++row) {
      if (place_of(model_.locate(row)) == Place::kDisk && chance(2)) rows.push_back(row);
    }
    const auto used = taken.begin() + std::ssize(rows);
    const std::vector<SlotId> slots(taken.begin(), used), rest(used, taken.end());
    const std::uint32_t step_used = step_ + random_() % 2;
    tiers_.publish(rows, slots, counter_, step_used);
    model_.publish(rows, slots, counter_, step_used);
    tiers_.release(tiers_.host(), rest);
    model_.release(Place::kHost, rest);
  }

  // Names some rows where they are, for this step or the next one.
  void keep(Place place) {
    const std::uint32_t wanted = step_ + (chance(2) ? 1 : 0), before = step_ + (chance(2) ? 1 : 0);
    const kernels::MarkUsedArgs args{.step = wanted, .keep = true, .unkept_before = before};
    std::vector<SlotId> slots;
    const auto& entries = place == Place::kDevice ? model_.device().entries : model_.host().entries;
    for (const auto& [slot, entry] : entries) {
      if (chance(3)) slots.push_back(slot);
    }
    tiers_.mark(table(place), slots, args);
    model_.mark(place, slots, args);
    for (const auto& [slot, entry] : entries) {
      kept_ += (entry.state & kernels::kKept) != 0 ? 1 : 0;
    }
    const std::uint32_t step = step_ + (chance(3) ? 1 : 0);
    EXPECT_EQ(tiers_.count_spare(table(place), step, counter_),
              model_.count_spare(place, step, counter_));
  }

  // Brings some rows to free device slots, for the next step.
  void hint_to_device() {
    const std::vector<RowId> rows = draw_rows();
    TestTiers::Looked looked = look_up(rows, 0, false);
    const std::size_t most = std::min(looked.missing.size(), model_.device().free.size());
    looked.missing.resize(random_() % (most + 1));
    bind(rows, looked.slots, looked.missing,
         {.use_counter = counter_, .hint = true, .step_used = step_ + 1});
  }

  std::mt19937 random_;
  TestTiers tiers_;
  TierModel model_;
  std::uint32_t counter_ = 0, step_ = 0;
  int kept_ = 0;
  int narrow_plans_ = 0;  // where victims need host slots that binding frees
};

class StepPlan : public ::testing::TestWithParam<TestBackend> {};

INSTANTIATE_TEST_SUITE_P(Backends, StepPlan, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

TEST_P(StepPlan, AgreesWithAPlainModelRoundAfterRound) {
  for (const std::uint32_t host_slots : {11u, 6u, 0u}) {
    for (std::uint32_t seed = 1; seed <= 3; ++seed) {
      SCOPED_TRACE(::testing::Message() << host_slots << " host slots, seed " << seed);
      Rounds rounds(shared_backend(GetParam()), seed, host_slots);
      for (int round = 0; round < 120 && !HasFailure(); ++round) {
        SCOPED_TRACE(::testing::Message() << "round " << round);
        rounds.play_round();
      }
      rounds.expect_variety();
    }
  }
}

}  // namespace
}  // namespace mneme::testing
