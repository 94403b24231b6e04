// How long transfers of the disk took, counted by queue in buckets: four for each doubling, so that
// a bucket is no wider than a quarter of its least value.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "io/enum_names.h"

namespace mneme::offload {

class LatencyCounts {
 public:
  static constexpr std::size_t kBuckets = 124;  // up to an hour

  void add(std::uint64_t us, std::uint64_t transfers = 1) { counts_[bucket_of(us)] += transfers; }
  LatencyCounts& operator+=(const LatencyCounts& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    return *this;
  }
  bool operator==(const LatencyCounts&) const = default;

  const std::array<std::uint64_t, kBuckets>& counts() const { return counts_; }
  std::uint64_t transfers() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : counts_) sum += count;
    return sum;
  }
  // The least time, in microseconds, that so large a share of the transfers did not exceed, as the
  // middle of its bucket; 0 without transfers.
  double quantile(double share) const {
    const double wanted = share * static_cast<double>(transfers());
    double seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += static_cast<double>(counts_[i]);
      if (counts_[i] > 0 && seen >= wanted) {
        return (static_cast<double>(least_us(i)) + static_cast<double>(least_us(i + 1))) / 2;
      }
    }
    return 0;
  }

  static std::size_t bucket_of(std::uint64_t us) {
    if (us < 4) return us;
    const auto doublings = static_cast<std::size_t>(std::bit_width(us)) - 1;
    return std::min(kBuckets - 1, 4 * (doublings - 1) + ((us >> (doublings - 2)) & 3));
  }
  static std::uint64_t least_us(std::size_t bucket) {
    if (bucket < 4) return bucket;
    return (4 + std::uint64_t{bucket % 4}) << (bucket / 4 - 1);
  }

 private:
  std::array<std::uint64_t, kBuckets> counts_{};
};

// As disk_lane.h has them.
enum class DiskQueue : std::uint8_t { kDemand, kHint, kWriteBack, kSave };
inline constexpr std::size_t kDiskQueues = 4;
constexpr auto enum_names(DiskQueue) {
  return std::to_array<io::EnumName<DiskQueue>>({{"demand", DiskQueue::kDemand},
                                                 {"hint", DiskQueue::kHint},
                                                 {"write-back", DiskQueue::kWriteBack},
                                                 {"save", DiskQueue::kSave}});
}

// By queue, from when a transfer was handed to the system until it was known to be through.
struct DiskLatencies {
  std::array<LatencyCounts, kDiskQueues> queues;
  LatencyCounts& operator[](DiskQueue queue) { return queues[static_cast<std::size_t>(queue)]; }
  const LatencyCounts& operator[](DiskQueue queue) const {
    return queues[static_cast<std::size_t>(queue)];
  }
  DiskLatencies& operator+=(const DiskLatencies& other) {
    for (std::size_t i = 0; i < kDiskQueues; ++i) queues[i] += other.queues[i];
    return *this;
  }
  bool operator==(const DiskLatencies&) const = default;
};

}  // namespace mneme::offload
