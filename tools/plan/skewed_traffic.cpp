#include <algorithm>
#include <cmath>

#include "offload/tier_sizes.h"
#include "tools/plan/page_traffic.h"

namespace mneme::plan {
namespace {

// Rows of about the same popularity.
struct Bin {
  double rows = 0;
  double rate = 0;  // look-ups of each in a step
};

// Of Zipf's law between two ranks, without the factor that makes all of it one.
double share_between(double skew, double first, double next) {
  return skew == 1 ? std::log(next / first)
                   : (std::pow(next, 1 - skew) - std::pow(first, 1 - skew)) / (1 - skew);
}

// Ranks from 1 on, in steps that grow with the rank.
std::vector<Bin> bins_of(const SkewedUse& use, double rows) {
  constexpr double kGrowth = 1.01;
  std::vector<Bin> bins;
  double sum = 0;
  for (double first = 0; first < rows;) {
    const double next = std::min(rows, std::max(first + 1, std::floor(first * kGrowth)));
    const double share = share_between(use.skew, first + 1, next + 1);
    bins.push_back({next - first, share / (next - first)});
    sum += share;
    first = next;
  }
  for (Bin& bin : bins) bin.rate *= use.lookups / sum;
  return bins;
}

// Distinct rows that are used in so many steps.
double used_within(const std::vector<Bin>& bins, double steps) {
  double rows = 0;
  for (const Bin& bin : bins) rows -= bin.rows * std::expm1(-bin.rate * steps);
  return rows;
}

// In how many steps as many distinct rows are used as a tier has slots.
double time_of_slots(const std::vector<Bin>& bins, double rows, double slots) {
  if (slots >= rows) return HUGE_VAL;
  double low = 0, high = 1;
  while (used_within(bins, high) < slots) high *= 2;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (used_within(bins, middle) < slots ? low : high) = middle;
  }
  return low;
}

// Of the rows that a step uses, those that were not used within so many steps before it.
double missed(const std::vector<Bin>& bins, double steps) {
  double rows = 0;
  for (const Bin& bin : bins) {
    rows -= bin.rows * std::expm1(-bin.rate) * std::exp(-bin.rate * steps);
  }
  return rows;
}

}  // namespace

PageTraffic skewed_traffic(const SkewedUse& use, const TrafficQuestion& question) {
  const auto rows = static_cast<double>(question.store.rows);
  const offload::TierSizes sizes = offload::tier_sizes(question.store);
  const std::vector<Bin> bins = bins_of(use, rows);
  const auto device = static_cast<double>(sizes.training);
  PageTraffic traffic;
  traffic.distinct_rows = used_within(bins, 1);
  // A lease of each layer forward and backward, and one of all rows for the update.
  const double of_lease = used_within(bins, 1 / static_cast<double>(use.leases));
  traffic.leased_rows = 2 * static_cast<double>(use.leases) * of_lease + traffic.distinct_rows;
  // A device tier smaller than a step's rows takes them in parts, once for each pass.
  const double passes = device < traffic.distinct_rows ? 3 : 1;
  const double beyond_device = missed(bins, time_of_slots(bins, rows, device));
  const double beyond_host =
      missed(bins, time_of_slots(bins, rows, device + static_cast<double>(sizes.host)));
  traffic.found_on_device = traffic.distinct_rows - beyond_device;
  traffic.found_in_host = beyond_device - beyond_host;
  traffic.found_on_disk = beyond_host;
  const auto record = static_cast<double>(question.store.layout.record_bytes());
  const auto slot = static_cast<double>(offload::disk_slot_bytes(question.store));
  // Each row that comes makes another one leave, changed by an earlier step.
  traffic.to_device_bytes = traffic.from_device_bytes = passes * record * beyond_device;
  traffic.disk_reads = traffic.disk_writes = passes * beyond_host;
  traffic.disk_read_bytes = traffic.disk_written_bytes = slot * traffic.disk_reads;
  const LinkSpeeds& links = question.links;
  const double host = links.host_link > 0 ? traffic.to_device_bytes / links.host_link : 0;
  const double disk = links.read_seconds(traffic.disk_read_bytes, traffic.disk_reads) +
                      links.write_seconds(traffic.disk_written_bytes, traffic.disk_writes);
  traffic.step_seconds = question.computation(traffic) + std::max(host, disk);
  return traffic;
}

}  // namespace mneme::plan
