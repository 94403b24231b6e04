// How many row references a second the planner decides, alone, on one core of a CPU: leases of
// 50,000 distinct rows whose popularity follows Zipf's law with exponent 0.8, over a table of 10M
// rows, with 1M slots on the device; in the steady state, misses and victims included. Every lease
// changes its rows, as a training step does.
//
//   planner_benchmark [LEASES [HOST_SLOTS]]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <unordered_set>
#include <vector>

#include "io/random.h"
#include "kernels/device_array.h"
#include "offload/planner/planner.h"

namespace mneme::offload {
namespace {

constexpr std::uint64_t kRows = 10'000'000;
constexpr std::uint32_t kDeviceSlots = 1'000'000;
constexpr std::int64_t kLeaseRows = 50'000;
constexpr double kExponent = 0.8;
constexpr int kDrawn = 40;  // different leases; taken in turn

std::vector<std::vector<kernels::RowId>> draw_leases() {
  io::SplitMix random(1);
  std::vector<std::vector<kernels::RowId>> leases(kDrawn);
  const double end = std::pow(double(kRows) + 1, 1 - kExponent) - 1;
  for (auto& lease : leases) {
    std::unordered_set<kernels::RowId> rows;
    while (std::ssize(rows) < kLeaseRows) {
      const double u = double(random.below(1u << 30)) / double(1u << 30);
      const auto rank = static_cast<std::uint64_t>(std::pow(1 + u * end, 1 / (1 - kExponent)) - 1);
      // Popular rows lie anywhere in the table.
      rows.insert(static_cast<kernels::RowId>(std::min(rank, kRows - 1) * 7'368'787 % kRows));
    }
    lease.assign(rows.begin(), rows.end());
    std::sort(lease.begin(), lease.end());
  }
  return leases;
}

struct Result {
  double references_per_second = 0, hit_share = 0, victims_per_lease = 0;
};

Result measure(std::uint32_t host_slots, int leases) {
  const auto backend = kernels::make_cpu_backend({.threads = 1});
  Planner planner(*backend, {.rows = kRows,
                             .device_slots = kDeviceSlots,
                             .evaluation_slots = 8,
                             .host_slots = host_slots});
  const auto drawn = draw_leases();
  std::vector<kernels::DeviceArray<kernels::RowId>> lists;
  for (const auto& lease : drawn) {
    lists.push_back(kernels::pinned_array<kernels::RowId>(*backend, kLeaseRows));
    std::copy(lease.begin(), lease.end(), lists.back().data());
  }
  std::int64_t hits = 0, victims = 0;
  std::uint64_t step = 0;
  const auto run = [&](int count) {
    hits = victims = 0;
    for (int i = 0; i < count; ++i) {
      const auto turn = static_cast<std::size_t>(step) % lists.size();
      planner.begin_step(++step);
      planner.look_up({.rows = lists[turn].data(), .count = kLeaseRows}, PlanMode::kTrain);
      hits += planner.found().on_device;
      PlannedLease& lease = planner.begin_lease();
      Round round;
      while (planner.next_round(round)) {
        planner.plan(round);
        victims += round.victims;
        planner.end_round(nullptr, nullptr);
      }
      planner.finish_lease();
      planner.mark_dirty(lease);
      planner.end_lease(lease);
    }
    planner.stream().synchronize();
  };
  run(2 * kDrawn);  // both tiers are full by then
  const auto start = std::chrono::steady_clock::now();
  run(leases);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double references = double(kLeaseRows) * leases;
  return {references / seconds, double(hits) / references, double(victims) / leases};
}

}  // namespace
}  // namespace mneme::offload

int main(int argc, char** argv) {
  const int leases = argc > 1 ? std::atoi(argv[1]) : 100;
  const std::vector<std::uint32_t> hosts =
      argc > 2 ? std::vector{static_cast<std::uint32_t>(std::atoi(argv[2]))}
               : std::vector{0u, 500'000u};
  for (const std::uint32_t host_slots : hosts) {
    const auto result = mneme::offload::measure(host_slots, leases);
    fmt::print(
        "{:>7} host slots: {:.1f}M row references a second, {:.1f}% on the device, {:.0f} "
        "victims a lease\n",
        host_slots, 1e-6 * result.references_per_second, 100 * result.hit_share,
        result.victims_per_lease);
  }
}
