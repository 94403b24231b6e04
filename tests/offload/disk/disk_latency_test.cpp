// Buckets of latencies: four a doubling, each no wider than a quarter of its least value.
#include "offload/disk/disk_latency.h"

#include <gtest/gtest.h>

namespace mneme::offload {
namespace {

TEST(DiskLatency, EachTimeIsInTheBucketThatBeginsAtOrBelowIt) {
  for (std::uint64_t us = 0; us < 100'000; us = us + 1 + us / 7) {
    const std::size_t bucket = LatencyCounts::bucket_of(us);
    EXPECT_LE(LatencyCounts::least_us(bucket), us);
    EXPECT_GT(LatencyCounts::least_us(bucket + 1), us);
    EXPECT_EQ(LatencyCounts::bucket_of(LatencyCounts::least_us(bucket)), bucket);
    if (us >= 4) {
      EXPECT_LE(LatencyCounts::least_us(bucket + 1) * 4, LatencyCounts::least_us(bucket) * 5);
    }
  }
  EXPECT_EQ(LatencyCounts::bucket_of(~std::uint64_t{0}), LatencyCounts::kBuckets - 1);
}

TEST(DiskLatency, QuantilesAreWithinTheirBuckets) {
  LatencyCounts counts;
  EXPECT_EQ(counts.quantile(.5), 0);
  for (std::uint64_t us = 1; us <= 1000; ++us) counts.add(us);
  EXPECT_EQ(counts.transfers(), 1000u);
  EXPECT_NEAR(counts.quantile(.5), 500, 64);
  EXPECT_NEAR(counts.quantile(.99), 990, 128);
  LatencyCounts sum = counts;
  sum += counts;
  EXPECT_EQ(sum.transfers(), 2000u);
  EXPECT_EQ(sum.quantile(.5), counts.quantile(.5));
}

}  // namespace
}  // namespace mneme::offload
