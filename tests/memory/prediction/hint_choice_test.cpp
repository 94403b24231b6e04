// Which predicted rows are hinted, and what is said of them afterwards, by hand.
#include "memory/prediction/hint_choice.h"

#include <gtest/gtest.h>

namespace mneme::memory {
namespace {

using kernels::Place;
using kernels::RowId;

// Two predictors: the first names rows 1 to 6, the second rows 5 to 8.
PredictedRows predicted() {
  PredictedRows rows;
  for (RowId row = 1; row <= 8; ++row) {
    const bool first = row <= 6, second = row >= 5;
    rows.push_back({.row = row,
                    .votes = 1,
                    .confidence = 0.1f * static_cast<float>(row) + 0.05f,
                    .named_by = static_cast<std::uint8_t>((first ? 1 : 0) + (second ? 2 : 0))});
  }
  return rows;
}

const std::vector<Place> kPlaces = {Place::kHost, Place::kDisk, Place::kDevice, Place::kHost,
                                    Place::kDisk, Place::kHost, Place::kDevice, Place::kHost};

TEST(HintChoiceTest, TheMostConfidentComeFirstAndWhatIsThereStays) {
  const HintChoice choice(0.4f);
  ChosenRows chosen;
  choice.choose(predicted(), kPlaces, chosen);
  // 3 is on the device and less likely than not; 1 and 2 are too unlikely to be brought.
  EXPECT_EQ(chosen.to_device, (std::vector<RowId>{8, 6, 4, 7}));
  EXPECT_EQ(chosen.to_host, (std::vector<RowId>{5}));
  chosen.clear();
  EXPECT_TRUE(chosen.to_device.empty() && chosen.to_host.empty());
}

TEST(HintChoiceTest, ScoresSayWhatBecameOfEachPredictorsRows) {
  HintChoice choice(0.4f);
  ChosenRows chosen;
  choice.choose(predicted(), kPlaces, chosen);
  chosen.note_brought(std::vector<RowId>{8, 4});
  chosen.note_brought(std::vector<RowId>{5});
  chosen.note_brought(std::vector<RowId>{5, 7, 99});  // once more; it was there; nobody named it
  const HintScores scores =
      choice.learn(chosen, std::vector<RowId>{2, 4, 5, 6, 7}, std::vector<RowId>{5, 6});
  EXPECT_EQ(scores[0], (HintScore{.present = 1, .hinted = 3, .brought = 2, .used = 2, .late = 1}));
  EXPECT_EQ(scores[1], (HintScore{.present = 1, .hinted = 3, .brought = 2, .used = 1, .late = 1}));
  EXPECT_EQ(scores[2], HintScore());
  EXPECT_EQ(scores[kNamers],
            (HintScore{.present = 2, .hinted = 4, .brought = 3, .used = 2, .late = 1}));
}

// Of rows that are missing, the same confidence may be worth less than of others.
TEST(HintChoiceTest, LearnsHowLikelyMissingRowsAreRead) {
  HintChoice choice(0.4f);
  ChosenRows chosen;
  const std::vector<Place> host(8, Place::kHost), disk(8, Place::kDisk);
  for (int step = 0; step < 40; ++step) {
    choice.choose(predicted(), host, chosen);
    choice.learn(chosen, {}, {});
  }
  choice.choose(predicted(), host, chosen);
  EXPECT_TRUE(chosen.to_device.empty());
  choice.choose(predicted(), disk, chosen);
  EXPECT_EQ(chosen.to_host.size(), 5u);
}

}  // namespace
}  // namespace mneme::memory
