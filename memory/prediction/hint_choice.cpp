#include "memory/prediction/hint_choice.h"

#include <algorithm>

#include "io/check.h"

namespace mneme::memory {

using kernels::Place;
using kernels::RowId;

namespace {

// Rows on the device that are at least as likely to be read do not make room for others.
constexpr float kLikely = 0.5f;

// Calls use(i) for the predictors that name a row, and for all together.
template <typename Use>
void for_each_namer(const PredictedRow& row, const Use& use) {
  for (std::size_t i = 0; i < kNamers; ++i) {
    if ((row.named_by >> i & 1) != 0) use(i);
  }
  use(kNamers);
}

}  // namespace

void HintScore::operator+=(const HintScore& other) {
  present += other.present;
  hinted += other.hinted;
  brought += other.brought;
  used += other.used;
  late += other.late;
}

void ChosenRows::Absent::clear() {
  rows.clear();
  hinted.clear();
  brought.clear();
}

void ChosenRows::clear() {
  to_device.clear();
  to_host.clear();
  for (Absent& absent : absent_) absent.clear();
  present_ = {};
}

void ChosenRows::note_brought(std::span<const RowId> rows) {
  for (const RowId row : rows) {
    for (Absent& absent : absent_) {
      const auto found = std::lower_bound(
          absent.rows.begin(), absent.rows.end(), row,
          [](const PredictedRow& predicted, RowId wanted) { return predicted.row < wanted; });
      if (found == absent.rows.end() || found->row != row) continue;
      absent.brought[static_cast<std::size_t>(found - absent.rows.begin())] = true;
    }
  }
}

void HintChoice::choose(std::span<const PredictedRow> predicted, std::span<const Place> places,
                        ChosenRows& chosen) const {
  CHECK(predicted.size() == places.size());
  chosen.clear();
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    if (places[i] == Place::kHost) chosen.absent_[0].rows.push_back(predicted[i]);
    if (places[i] == Place::kDisk) chosen.absent_[1].rows.push_back(predicted[i]);
    if (places[i] != Place::kDevice) continue;
    for_each_namer(predicted[i], [&](std::size_t namer) { ++chosen.present_[namer]; });
  }
  for (std::size_t from = 0; from < chosen.absent_.size(); ++from) {
    ChosenRows::Absent& absent = chosen.absent_[from];
    absent.hinted.resize(absent.rows.size());
    absent.brought.resize(absent.rows.size());
    calibrations_[from].set_confidence(absent.rows);
    std::vector<RowId>& wanted = from == 0 ? chosen.to_device : chosen.to_host;
    for (const std::uint32_t index : order_by_confidence(absent.rows)) {
      if (absent.rows[index].confidence < least_) break;
      absent.hinted[index] = true;
      wanted.push_back(absent.rows[index].row);
    }
  }
  // They stay where they are.
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    const bool stays = places[i] == Place::kDevice && predicted[i].confidence >= kLikely;
    if (stays) chosen.to_device.push_back(predicted[i].row);
  }
}

HintScores HintChoice::learn(const ChosenRows& chosen, std::span<const RowId> read,
                             std::span<const RowId> late) {
  HintScores scores;
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i].present = chosen.present_[i];
  for (std::size_t from = 0; from < chosen.absent_.size(); ++from) {
    const ChosenRows::Absent& absent = chosen.absent_[from];
    calibrations_[from].learn(absent.rows, read);
    for_each_outcome(absent.rows, read, [&](std::size_t i, bool was_read) {
      const bool used = absent.brought[i] && was_read;
      const bool waited = used && std::binary_search(late.begin(), late.end(), absent.rows[i].row);
      for_each_namer(absent.rows[i], [&](std::size_t namer) {
        scores[namer] += {.hinted = absent.hinted[i] ? 1u : 0u,
                          .brought = absent.brought[i] ? 1u : 0u,
                          .used = used ? 1u : 0u,
                          .late = waited ? 1u : 0u};
      });
    });
  }
  return scores;
}

}  // namespace mneme::memory
