#include "memory/prediction/prediction_score.h"

namespace mneme::memory {

void PredictionScore::operator+=(const PredictionScore& other) {
  steps += other.steps;
  read += other.read;
  predicted += other.predicted;
  hits += other.hits;
  for (std::size_t i = 0; i < hits_at.size(); ++i) {
    hits_at[i] += other.hits_at[i];
    hottest_at[i] += other.hottest_at[i];
  }
}

void HotRows::add(std::span<const kernels::RowId> rows) {
  for (const kernels::RowId row : rows) {
    const std::uint32_t steps = ++steps_[row];
    if (steps >= with_.size()) with_.resize(steps + 1);
    ++with_[steps];
    if (steps > 1) --with_[steps - 1];
  }
}

double HotRows::hits(std::span<const kernels::RowId> rows, std::uint64_t most) const {
  // Rows with more steps than `least` are among them, and some of those with as many.
  std::size_t least = with_.size() - 1;
  std::uint64_t above = 0;
  while (least > 0 && above + with_[least] <= most) above += with_[least--];
  std::uint64_t hits = 0, ties = 0;
  for (const kernels::RowId row : rows) {
    if (steps_[row] > least) ++hits;
    if (steps_[row] == least && least > 0) ++ties;
  }
  if (least == 0) return static_cast<double>(hits);
  const double share = static_cast<double>(most - above) / static_cast<double>(with_[least]);
  return static_cast<double>(hits) + share * static_cast<double>(ties);
}

PredictionScore score_of(std::span<const PredictedRow> predicted,
                         std::span<const kernels::RowId> read, const HotRows& hot) {
  PredictionScore score{
      .steps = 1, .read = read.size(), .predicted = predicted.size(), .hits_at = {}};
  std::array<std::uint64_t, kScoredBudgets.size()> most{};
  for (std::size_t i = 0; i < most.size(); ++i) {
    most[i] = static_cast<std::uint64_t>(kScoredBudgets[i] * static_cast<double>(read.size()));
    score.hottest_at[i] = hot.hits(read, most[i]);
  }
  std::vector<std::uint8_t> was_read(predicted.size());
  for_each_outcome(predicted, read, [&](std::size_t i, bool hit) { was_read[i] = hit ? 1 : 0; });
  std::size_t rank = 0;
  for (const std::uint32_t i : order_by_confidence(predicted)) {
    if (was_read[i] != 0) {
      ++score.hits;
      for (std::size_t k = 0; k < most.size(); ++k) score.hits_at[k] += rank < most[k] ? 1 : 0;
    }
    ++rank;
  }
  return score;
}

}  // namespace mneme::memory
