#include "memory/prediction/vote_ranking.h"

#include <algorithm>
#include <array>
#include <utility>

#include "io/check.h"

namespace mneme::memory {

using kernels::RowId;

namespace {

// Merges two lists that are ascending by row; `both` makes one of two with the same row.
template <typename Both>
void merge_rows(std::span<const PredictedRow> a, std::span<const PredictedRow> b,
                PredictedRows& merged, const Both& both) {
  merged.clear();
  merged.reserve(a.size() + b.size());
  auto left = a.begin(), right = b.begin();
  while (left != a.end() && right != b.end()) {
    if (left->row == right->row) {
      merged.push_back(both(*left++, *right++));
    } else {
      merged.push_back(left->row < right->row ? *left++ : *right++);
    }
  }
  merged.insert(merged.end(), left, a.end());
  merged.insert(merged.end(), right, b.end());
}

PredictedRows with_votes(std::span<const RowId> rows, std::span<const std::uint32_t> votes) {
  CHECK(rows.size() == votes.size());
  PredictedRows list;
  list.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    list.push_back({.row = rows[i], .votes = votes[i]});
  }
  return list;
}

}  // namespace

void VoteRanking::add(std::span<const RowId> rows, std::span<const std::uint32_t> votes) {
  PredictedRows list = with_votes(rows, votes);
  if (added_.empty()) {
    added_ = std::move(list);
    return;
  }
  merge_rows(added_, list, merged_, [](const PredictedRow& a, const PredictedRow& b) {
    return PredictedRow{.row = a.row, .votes = a.votes + b.votes};
  });
  std::swap(added_, merged_);
}

void VoteRanking::set_confidence(PredictedRows& rows) const {
  std::array<float, Calibration::kBuckets> confidence{};
  for (std::size_t i = 0; i < confidence.size(); ++i) {
    confidence[i] = static_cast<float>(calibration_.confidence_of_bucket(i));
  }
  for (PredictedRow& row : rows) row.confidence = confidence[Calibration::bucket_of(row.votes)];
}

PredictedRows VoteRanking::take() {
  set_confidence(added_);
  return std::exchange(added_, {});
}

PredictedRows VoteRanking::rank(std::span<const RowId> rows,
                                std::span<const std::uint32_t> votes) const {
  PredictedRows list = with_votes(rows, votes);
  set_confidence(list);
  return list;
}

void VoteRanking::learn(std::span<const PredictedRow> predicted, std::span<const RowId> read) {
  Calibration::Outcome outcome;
  for_each_outcome(predicted, read, [&](std::size_t i, bool was_read) {
    const std::size_t bucket = Calibration::bucket_of(predicted[i].votes);
    ++outcome.predicted[bucket];
    outcome.read[bucket] += was_read ? 1 : 0;
  });
  calibration_.learn(outcome);
}

std::vector<std::uint32_t> order_by_confidence(std::span<const PredictedRow> predicted) {
  constexpr std::size_t kLevels = 4096;
  const auto level = [](const PredictedRow& row) {
    const auto share = static_cast<std::size_t>(row.confidence * static_cast<float>(kLevels));
    return kLevels - 1 - std::min(share, kLevels - 1);
  };
  std::vector<std::uint32_t> begins(kLevels + 1), order(predicted.size());
  for (const PredictedRow& row : predicted) ++begins[level(row) + 1];
  for (std::size_t i = 1; i <= kLevels; ++i) begins[i] += begins[i - 1];
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    order[begins[level(predicted[i])]++] = static_cast<std::uint32_t>(i);
  }
  return order;
}

PredictedRows union_of(std::span<const PredictedRows> lists) {
  PredictedRows all, merged, list;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    list = lists[i];
    const auto bit = static_cast<std::uint8_t>(1u << std::min<std::size_t>(i, 7));
    for (PredictedRow& row : list) row.named_by = bit;
    merge_rows(all, list, merged, [](const PredictedRow& a, const PredictedRow& b) {
      return PredictedRow{.row = a.row,
                          .votes = a.votes + b.votes,
                          .confidence = 1 - (1 - a.confidence) * (1 - b.confidence),
                          .named_by = static_cast<std::uint8_t>(a.named_by | b.named_by)};
    });
    std::swap(all, merged);
  }
  return all;
}

void UnionCalibration::set_confidence(PredictedRows& rows) const {
  constexpr float kPriorRows = 4;
  for (PredictedRow& row : rows) {
    const auto level = static_cast<std::size_t>(row.confidence * float{kLevels});
    row.level = static_cast<std::uint16_t>(std::min(level, kLevels - 1));
    const Cell& cell = cells_[row.named_by * kLevels + row.level];
    row.confidence = (cell.read + kPriorRows * row.confidence) / (cell.predicted + kPriorRows);
  }
}

void UnionCalibration::learn(std::span<const PredictedRow> predicted, std::span<const RowId> read) {
  for (Cell& cell : cells_) {
    cell.predicted *= static_cast<float>(Calibration::kKept);
    cell.read *= static_cast<float>(Calibration::kKept);
  }
  for_each_outcome(predicted, read, [&](std::size_t i, bool was_read) {
    Cell& cell = cells_[predicted[i].named_by * kLevels + predicted[i].level];
    cell.predicted += 1;
    cell.read += was_read ? 1 : 0;
  });
}

}  // namespace mneme::memory
