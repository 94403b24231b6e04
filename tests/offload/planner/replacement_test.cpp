// Whose use counts age, for every pair of policies that ask: lfu forgets in either tier whatever
// the other tier's policy, and static-hot never does.
#include <gtest/gtest.h>

#include <numeric>
#include <tuple>
#include <vector>

#include "tests/offload/store_run.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::ReplacementKind;
using kernels::RowId;
using testing::bytes_for_slots;
using testing::small_store;

constexpr std::int64_t kDeviceSlots = 8, kHostSlots = 16;

struct Rows {
  RowId first = 0;
  std::int64_t count = 0;
};

// device, host
using Policies = std::tuple<ReplacementKind, ReplacementKind>;

class Replacement : public ::testing::TestWithParam<Policies> {
 protected:
  static ReplacementKind device_policy() { return std::get<0>(GetParam()); }
  static ReplacementKind host_policy() { return std::get<1>(GetParam()); }

  static StoreOptions options() {
    StoreOptions options = small_store(100);
    // As many slots as in a store whose slots are larger by a second count.
    options.tiers.device_bytes = bytes_for_slots(options, kDeviceSlots) + 16 * 4;
    options.tiers.host_bytes = kHostSlots * 128;
    options.tiers.device_policy = device_policy();
    options.tiers.host_policy = host_policy();
    return options;
  }

  void SetUp() override {
    ASSERT_EQ(store_.lease_capacity(LeaseMode::kTrain), kDeviceSlots);
    ASSERT_EQ(store_.tier_use().host_slots, static_cast<std::uint64_t>(kHostSlots));
  }

  // Leases that use and change the rows.
  void use(const Rows& rows, int leases = 1) {
    stream_->synchronize();  // the leases before have read their ids
    std::iota(ids_.as<RowId>(), ids_.as<RowId>() + rows.count, rows.first);
    for (int i = 0; i < leases; ++i) {
      store_.begin_step(++step_);
      Lease lease = store_.acquire(
          *stream_, {.rows = ids_.as<RowId>(), .count = rows.count, .mode = LeaseMode::kTrain}, {});
      lease.mark_dirty();
    }
  }
  // The same once; what it took to bring them.
  Entry fetch(const Rows& rows) {
    store_.take_books();
    use(rows);
    return store_.books().total();
  }

  // Rows that were used ten times long ago and once since then, and rows used five times of late:
  // 11 or about 3 uses against 5. `between`: the row used meanwhile.
  void age(const Rows& old_favourites, const Rows& between, const Rows& new_favourites) {
    use(old_favourites, 10);
    use(between, 800);
    use(old_favourites);
    use(new_favourites, 5);
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  io::SimulatedDisk disk_{{.record_log = false}};
  TieredStore store_{backend_, disk_, options()};
  std::unique_ptr<kernels::Stream> stream_ = backend_.create_stream();
  kernels::Buffer ids_ = backend_.allocate(4 * kDeviceSlots, kernels::MemoryKind::kPinnedHost);
  std::uint64_t step_ = 0;
};

TEST_P(Replacement, ChoosesDeviceVictimsByItsOwnCounts) {
  const Rows old_favourites{0, 4}, between{10, 1}, new_favourites{20, 3};
  age(old_favourites, between, new_favourites);
  use({30, 2});  // two have to go
  const std::uint64_t missing = fetch(old_favourites)[Field::kFoundInHost];
  if (device_policy() == ReplacementKind::kLfu) {
    EXPECT_EQ(missing, 2u);
  }
  if (device_policy() == ReplacementKind::kStaticHot) {
    EXPECT_EQ(missing, 0u);
  }
}

TEST_P(Replacement, ChoosesHostVictimsByItsOwnCounts) {
  const Rows old_favourites{0, 8}, between{10, 1}, new_favourites{20, 8};
  age(old_favourites, between, new_favourites);
  use({30, 7});  // into the host tier, which is full then
  use({40, 4});
  // The first lease tells: later ones drive out more rows.
  if (host_policy() == ReplacementKind::kLfu) {
    EXPECT_EQ(fetch(new_favourites)[Field::kFoundOnDisk], 0u);
    EXPECT_GT(fetch(old_favourites)[Field::kFoundOnDisk], 0u);
  }
  if (host_policy() == ReplacementKind::kStaticHot) {
    EXPECT_EQ(fetch(old_favourites)[Field::kFoundOnDisk], 0u);
    EXPECT_GT(fetch(new_favourites)[Field::kFoundOnDisk], 0u);
  }
}

using Kind = ReplacementKind;
INSTANTIATE_TEST_SUITE_P(Policies, Replacement,
                         ::testing::Values(Policies{Kind::kLru, Kind::kLfu},
                                           Policies{Kind::kLru, Kind::kStaticHot},
                                           Policies{Kind::kLfu, Kind::kLru},
                                           Policies{Kind::kLfu, Kind::kLfu},
                                           Policies{Kind::kLfu, Kind::kStaticHot},
                                           Policies{Kind::kStaticHot, Kind::kLru},
                                           Policies{Kind::kStaticHot, Kind::kLfu},
                                           Policies{Kind::kStaticHot, Kind::kStaticHot}));

}  // namespace
}  // namespace mneme::offload
