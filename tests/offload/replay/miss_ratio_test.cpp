// Miss ratios of single references against caches that are simulated as they are defined, and
// against the planner.
#include "offload/replay/miss_ratio.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <random>
#include <set>

#include "offload/replay/replay_store.h"

namespace mneme::offload::testing {
namespace {

using kernels::RowId;

// Zipf references with a drift: the popular rows are others after a while.
std::vector<RowId> references(std::uint64_t rows, std::size_t count, double exponent,
                              std::uint64_t seed) {
  std::vector<double> weights;
  for (std::uint64_t row = 1; row <= rows; ++row) {
    weights.push_back(std::pow(static_cast<double>(row), -exponent));
  }
  std::mt19937_64 random(seed);
  std::discrete_distribution<RowId> rank(weights.begin(), weights.end());
  std::vector<RowId> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    all[i] = static_cast<RowId>((rank(random) + i / 500) % rows);
  }
  return all;
}

std::uint64_t lru_misses(const std::vector<RowId>& all, std::size_t size) {
  std::list<RowId> cache;
  std::uint64_t misses = 0;
  for (const RowId row : all) {
    const auto found = std::find(cache.begin(), cache.end(), row);
    if (found != cache.end()) {
      cache.erase(found);
    } else {
      ++misses;
      if (cache.size() == size && !cache.empty()) cache.pop_back();
    }
    if (size > 0) cache.push_front(row);
  }
  return misses;
}

std::uint64_t optimal_misses(const std::vector<RowId>& all, std::size_t size) {
  std::set<RowId> cache;
  std::uint64_t misses = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (cache.contains(all[i])) continue;
    ++misses;
    if (cache.size() == size) {
      const auto next = [&](RowId row) {
        return std::find(all.begin() + static_cast<std::ptrdiff_t>(i), all.end(), row);
      };
      cache.erase(*std::max_element(cache.begin(), cache.end(),
                                    [&](RowId a, RowId b) { return next(a) < next(b); }));
    }
    cache.insert(all[i]);
  }
  return misses;
}

MissCurve curve_of(const std::vector<RowId>& all, std::uint64_t rows, double sample = 1) {
  StackDistances distances(rows, sample);
  for (std::size_t first = 0; first < all.size(); first += 97) {
    distances.add(std::span(all).subspan(first, std::min<std::size_t>(97, all.size() - first)));
  }
  return distances.curve();
}

TEST(StackDistancesTest, GiveTheMissesOfLruAtEverySize) {
  const std::vector<RowId> all = references(300, 6000, 0.8, 1);
  const MissCurve curve = curve_of(all, 300);
  for (const std::size_t size : {1u, 2u, 3u, 10u, 77u, 150u, 299u, 300u, 1000u}) {
    EXPECT_NEAR(curve.miss_ratio(size) * 6000, static_cast<double>(lru_misses(all, size)), 1e-6)
        << size;
  }
  EXPECT_EQ(curve.miss_ratio(0), 1);
  EXPECT_EQ(MissCurve().miss_ratio(5), 0);
  EXPECT_EQ(curve_of({}, 10).miss_ratio(3), 0);
}

// More references than times are kept for: they are numbered anew, several times.
TEST(StackDistancesTest, AreExactHoweverManyReferencesThereAre) {
  std::vector<RowId> all;
  for (int round = 0; round < 8; ++round) {
    for (RowId row = 0; row < 50'000; ++row) all.push_back(row);
  }
  const MissCurve cyclic = curve_of(all, 50'000);
  EXPECT_EQ(cyclic.miss_ratio(49'999), 1);
  EXPECT_NEAR(cyclic.miss_ratio(50'000), 1.0 / 8, 1e-12);
  all.clear();
  for (int i = 0; i < 400'000; ++i) all.push_back(static_cast<RowId>(i / 2 % 7));
  const MissCurve few = curve_of(all, 7);
  EXPECT_NEAR(few.miss_ratio(1), 0.5, 1e-12);
  EXPECT_NEAR(few.miss_ratio(7), 7.0 / 400'000, 1e-12);
}

TEST(StackDistancesTest, OfASampleAreNearThoseOfAll) {
  const std::vector<RowId> all = references(40'000, 800'000, 0.8, 2);
  const MissCurve exact = curve_of(all, 40'000), sampled = curve_of(all, 40'000, 0.05);
  for (const std::uint64_t size : {400u, 2000u, 8000u, 20'000u}) {
    EXPECT_NEAR(sampled.miss_ratio(size), exact.miss_ratio(size), 0.02) << size;
  }
}

TEST(BeladyTest, GivesTheFewestMissesThatThereCanBe) {
  const std::vector<RowId> all = references(60, 900, 0.7, 3);
  for (const std::size_t size : {1u, 2u, 5u, 20u, 59u, 60u, 100u}) {
    EXPECT_EQ(belady_misses(all, size), optimal_misses(all, size)) << size;
    EXPECT_LE(belady_misses(all, size), lru_misses(all, size));
  }
  EXPECT_EQ(belady_misses(all, 0), all.size());
  EXPECT_EQ(belady_misses({}, 4), 0u);
}

// A lease a row is a reference: the planner's lru has the misses of the simulator.
TEST(MissRatioTest, OfThePlannerIsThatOfTheSimulator) {
  const std::vector<RowId> all = references(200, 3000, 0.9, 4);
  const auto backend = kernels::make_cpu_backend({.threads = 1});
  for (const std::uint32_t slots : {1u, 8u, 40u, 150u}) {
    ReplayStore replay(*backend, {.table = 0, .rows = 200, .run_id = 0, .seed = 1});
    TraceEvent event{.kind = TraceKind::kStart};
    event.tiers = {.device_slots = slots,
                   .evaluation_slots = 8,
                   .host_slots = 0,
                   .record_bytes = 64,
                   .disks = 1,
                   .transfer_rows = 64};
    replay.apply(event);
    std::uint64_t number = 0;
    for (const RowId row : all) {
      replay.apply({.kind = TraceKind::kStep, .number = ++number});
      replay.apply({.kind = TraceKind::kLease, .number = number, .list = {row}});
      replay.apply({.kind = TraceKind::kEndLease, .number = number});
    }
    const Entry total = replay.books().total();
    const auto missed =
        static_cast<double>(total[Field::kRowsLeased] - total[Field::kFoundOnDevice]);
    const auto expected = static_cast<double>(lru_misses(all, slots));
    // Leases that are 64 and more back are told apart to one part in 32 (kernels/slot_scores.h).
    EXPECT_NEAR(missed, expected, slots < 40 ? 0 : 0.03 * expected) << slots;
  }
}

}  // namespace
}  // namespace mneme::offload::testing
