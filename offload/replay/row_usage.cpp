#include "offload/replay/row_usage.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "io/check.h"
#include "io/error.h"

namespace mneme::offload {
namespace {

// counts[d]: how many have the value d.
Quantiles quantiles_of(std::span<const std::uint64_t> counts) {
  std::uint64_t all = 0;
  for (const std::uint64_t count : counts) all += count;
  const auto value_at = [&](double share) {
    const double wanted = share * static_cast<double>(all);
    std::uint64_t below = 0;
    for (std::size_t value = 0; value < counts.size(); ++value) {
      below += counts[value];
      if (below > 0 && static_cast<double>(below) >= wanted) return static_cast<double>(value);
    }
    return 0.0;
  };
  return {value_at(0.5), value_at(0.9), value_at(0.99)};
}

// Of the uses, most first.
void spread_of(const std::vector<std::uint32_t>& uses, RowUsage& usage) {
  if (usage.uses == 0) return;
  const auto all = static_cast<double>(usage.uses), rows = static_cast<double>(usage.table_rows);
  const std::uint64_t one = (usage.table_rows + 99) / 100, ten = (usage.table_rows + 9) / 10,
                      half = (usage.table_rows + 1) / 2;
  double weighted = 0, sum = 0;
  for (std::size_t i = 0; i < uses.size(); ++i) {
    const std::uint64_t rank = i + 1;
    const double x = uses[i], share = x / all;
    sum += share;
    weighted += (rows + 1 - static_cast<double>(rank)) * share;
    usage.kl_from_uniform += share * std::log(share * rows);
    if (rank <= one) usage.top_1 = sum;
    if (rank <= ten) usage.top_10 = sum;
    if (rank <= half) usage.top_50 = sum;
    const bool is_last = rank == uses.size();
    if (std::has_single_bit(rank) || is_last) usage.uses_by_rank.emplace_back(rank, uses[i]);
  }
  usage.gini = (2 * weighted - rows - 1) / rows;
}

double zipf_slope_of(const std::vector<std::uint32_t>& uses) {
  constexpr std::uint32_t kFewestUses = 8;
  constexpr double kSpacing = 1.1;
  double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
  double next = 1;
  for (std::size_t i = 0; i < uses.size() && uses[i] >= kFewestUses; ++i) {
    const auto rank = static_cast<double>(i + 1);
    if (rank < next) continue;
    next = rank * kSpacing;
    const double x = std::log(rank), y = std::log(uses[i]);
    n += 1;
    sx += x;
    sy += y;
    sxx += x * x;
    sxy += x * y;
  }
  if (n < 3) return 0;
  return -(n * sxy - sx * sy) / (n * sxx - sx * sx);
}

}  // namespace

RowUsageCounter::RowUsageCounter(std::uint64_t table_rows)
    : uses_(table_rows), last_step_(table_rows), distances_(table_rows) {}

void RowUsageCounter::begin_step(std::uint64_t step) {
  // A step without a use (one that was begun again) leaves nothing.
  if (!steps_.empty() && steps_.back().distinct == 0) steps_.pop_back();
  steps_.push_back({.step = step});
}

void RowUsageCounter::add(std::span<const std::uint32_t> rows) {
  if (steps_.empty()) begin_step(0);
  StepRows& step = steps_.back();
  const auto now = static_cast<std::uint32_t>(steps_.size());
  for (const std::uint32_t row : rows) {
    ++uses_[row];
    const std::uint32_t before = std::exchange(last_step_[row], now);
    if (before != now) ++step.distinct;
    if (before == 0) {
      ++step.new_rows;
      continue;
    }
    const std::uint32_t gap = now - before;
    if (gap >= gaps_.size()) gaps_.resize(gap + 1);
    ++gaps_[gap];
  }
  distances_.add(rows);
}

RowUsage RowUsageCounter::usage() const {
  RowUsage usage;
  usage.table_rows = uses_.size();
  std::vector<std::uint32_t> uses;
  for (const std::uint32_t count : uses_) {
    usage.uses += count;
    if (count > 0) uses.push_back(count);
  }
  usage.used_rows = uses.size();
  usage.steps = steps_;
  if (!usage.steps.empty() && usage.steps.back().distinct == 0) usage.steps.pop_back();
  std::sort(uses.begin(), uses.end(), std::greater<>());
  spread_of(uses, usage);
  usage.zipf_slope = zipf_slope_of(uses);
  usage.reuse_rows = quantiles_of(distances_.counts());
  usage.reuse_steps = quantiles_of(gaps_);
  return usage;
}

TraceUsage usage_of(TraceReader& reader, const std::function<void()>& between) {
  const std::uint64_t rows = reader.header().rows;
  RowUsageCounter all(rows);
  std::map<std::int32_t, RowUsageCounter> by_layer;
  std::uint64_t step = 0;
  TraceEvent event;
  while (reader.next(event)) {
    if (between) between();
    if (event.kind == TraceKind::kStep) {
      step = event.number;
      all.begin_step(step);
      for (auto& [layer, counter] : by_layer) counter.begin_step(step);
    }
    if (event.kind != TraceKind::kLease || event.account.cause != Cause::kTraining ||
        event.account.pass != Pass::kForward || event.list.empty()) {
      continue;
    }
    if (event.list.back() >= rows) io::fail("row {} of a table of {}", event.list.back(), rows);
    all.add(event.list);
    const auto [found, is_new] = by_layer.try_emplace(event.account.layer, rows);
    if (is_new) found->second.begin_step(step);
    found->second.add(event.list);
  }
  TraceUsage usage{.all = all.usage(), .by_layer = {}};
  for (const auto& [layer, counter] : by_layer) usage.by_layer.emplace(layer, counter.usage());
  return usage;
}

}  // namespace mneme::offload
