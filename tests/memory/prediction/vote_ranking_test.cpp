// Votes, confidence and unions of predicted rows, by hand.
#include "memory/prediction/vote_ranking.h"

#include <gtest/gtest.h>

#include "memory/prediction/row_votes.h"
#include "tests/kernels/pinned.h"
#include "tests/support/test_backend.h"

namespace mneme::memory {
namespace {

using kernels::RowId;

TEST(VoteRankingTest, VotesSumUpUntilTheyAreTaken) {
  VoteRanking ranking;
  ranking.add(std::vector<RowId>{2, 5, 9}, std::vector<std::uint32_t>{1, 2, 3});
  ranking.add(std::vector<RowId>{1, 5, 10}, std::vector<std::uint32_t>{4, 5, 6});
  const PredictedRows rows = ranking.take();
  std::vector<std::pair<RowId, std::uint32_t>> found;
  for (const PredictedRow& row : rows) found.emplace_back(row.row, row.votes);
  EXPECT_EQ(found, (std::vector<std::pair<RowId, std::uint32_t>>{
                       {1, 4}, {2, 1}, {5, 7}, {9, 3}, {10, 6}}));
  EXPECT_TRUE(ranking.take().empty());
  // What rank() is asked does not stay.
  EXPECT_EQ(ranking.rank(std::vector<RowId>{3}, std::vector<std::uint32_t>{1}).size(), 1u);
  EXPECT_TRUE(ranking.take().empty());
}

TEST(VoteRankingTest, ConfidenceIsWhatWasReadOfRowsWithAsManyVotes) {
  VoteRanking ranking;
  const std::vector<RowId> rows = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<std::uint32_t> votes = {1, 1, 1, 1, 20, 20, 20, 20};
  for (int step = 0; step < 50; ++step) {
    ranking.add(rows, votes);
    ranking.learn(ranking.take(), std::vector<RowId>{2, 5, 6, 7, 100});
  }
  const PredictedRows ranked = ranking.rank(rows, votes);
  EXPECT_NEAR(ranked[0].confidence, 0.25, 0.02);
  EXPECT_NEAR(ranked[7].confidence, 0.75, 0.02);
  EXPECT_EQ(order_by_confidence(ranked), (std::vector<std::uint32_t>{4, 5, 6, 7, 0, 1, 2, 3}));
}

TEST(VoteRankingTest, AUnionHasEachRowOnceAndKnowsWhoNamedIt) {
  const std::vector<PredictedRows> lists = {
      {{.row = 1, .votes = 1, .confidence = 0.5f}, {.row = 4, .votes = 1, .confidence = 0.5f}},
      {},
      {{.row = 2, .votes = 2, .confidence = 0.25f}, {.row = 4, .votes = 3, .confidence = 0.5f}}};
  const PredictedRows all = union_of(lists);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].row, 1u);
  EXPECT_EQ(all[0].named_by, 1);
  EXPECT_EQ(all[1].named_by, 4);
  EXPECT_EQ(all[2].row, 4u);
  EXPECT_EQ(all[2].named_by, 5);
  EXPECT_EQ(all[2].votes, 4u);
  EXPECT_FLOAT_EQ(all[2].confidence, 0.75f);
}

// Two predictors that say the same are no surer than one.
TEST(UnionCalibrationTest, LearnsWhatAgreementIsWorth) {
  UnionCalibration calibration;
  PredictedRows rows;
  for (int step = 0; step < 60; ++step) {
    std::vector<PredictedRows> lists(2);
    for (RowId row = 0; row < 20; ++row) {
      lists[0].push_back({.row = row, .votes = 1, .confidence = 0.5f});
      if (row < 10) lists[1].push_back({.row = row, .votes = 1, .confidence = 0.5f});
    }
    rows = union_of(lists);
    calibration.set_confidence(rows);
    calibration.learn(rows, std::vector<RowId>{0, 2, 4, 6, 8, 11});
  }
  EXPECT_NEAR(rows[0].confidence, 0.5, 0.03) << "named by both";
  EXPECT_NEAR(rows[15].confidence, 0.1, 0.05) << "named by one";
}

TEST(RowVotesTest, BetterRanksHaveMoreVotes) {
  using mneme::testing::Pinned;
  for (const auto& kind : mneme::testing::backends_under_test()) {
    kernels::Backend& backend = mneme::testing::shared_backend(kind);
    const std::unique_ptr<kernels::Stream> stream = backend.create_stream();
    // Two tokens with two ranked lists of four each.
    const Pinned<RowId> candidates(
        backend, std::vector<RowId>{7, 3, 9, 1, 7, 8, 3, 2, 1, 7, 3, 9, 9, 1, 7, 5});
    RowVotes ranked(backend, 2, 8, 10, 4), plain(backend, 2, 8, 10);
    ranked.count(*stream, candidates.data(), 2);
    plain.count(*stream, candidates.data(), 2);
    const RowVotes::Counted a = ranked.await(), b = plain.await();
    const std::vector<RowId> rows = {1, 2, 3, 5, 7, 8, 9};
    EXPECT_EQ(std::vector<RowId>(a.rows.begin(), a.rows.end()), rows);
    EXPECT_EQ(std::vector<RowId>(b.rows.begin(), b.rows.end()), rows);
    EXPECT_EQ(
        std::vector<std::uint32_t>(a.votes.begin(), a.votes.end()),
        (std::vector<std::uint32_t>{1 + 4 + 3, 1, 3 + 2 + 2, 1, 4 + 4 + 3 + 2, 3, 2 + 1 + 4}));
    EXPECT_EQ(std::vector<std::uint32_t>(b.votes.begin(), b.votes.end()),
              (std::vector<std::uint32_t>{3, 1, 3, 1, 4, 1, 3}));
    ranked.count(*stream, candidates.data(), 0);
    EXPECT_TRUE(ranked.await().rows.empty());
  }
}

}  // namespace
}  // namespace mneme::memory
