// What a history recalls, and the votes that come of it, against a plain map.
#include "memory/prediction/row_history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "memory/prediction/history_predictor.h"
#include "memory/prediction/vote_ranking.h"
#include "tests/kernels/pinned.h"
#include "tests/support/test_backend.h"

namespace mneme::memory {
namespace {

using kernels::RowId;
using mneme::testing::Pinned;

class RowHistoryTest : public ::testing::TestWithParam<mneme::testing::TestBackend> {
 protected:
  kernels::Backend& backend_ = mneme::testing::shared_backend(GetParam());
  std::unique_ptr<kernels::Stream> stream_ = backend_.create_stream();
};

INSTANTIATE_TEST_SUITE_P(Backends, RowHistoryTest,
                         ::testing::ValuesIn(mneme::testing::backends_under_test()),
                         mneme::testing::backend_name);

TEST_P(RowHistoryTest, RecallsTheNewestTokenOfEachContextWhileTheRingHasIt) {
  constexpr std::int64_t kTokens = 12, kLookups = 5, kRing = 40;
  constexpr std::uint32_t kContexts = 30;
  RowHistory history(backend_, {.tokens = kTokens,
                                .lookups_per_token = kLookups,
                                .ring_tokens = kRing,
                                .contexts = kContexts});
  struct Newest {
    int batch = 0;
    std::vector<RowId> rows;
  };
  std::map<std::uint32_t, Newest> model;
  std::mt19937 random(1);
  const Pinned<RowId> rows(backend_, kTokens * kLookups), out(backend_, kTokens * kLookups);
  std::size_t recalled = 0, forgotten = 0;
  for (int batch = 1; batch <= 60; ++batch) {
    std::vector<std::uint32_t> contexts(1 + random() % kTokens);
    for (std::uint32_t& context : contexts) context = random() % kContexts;
    for (std::int64_t i = 0; i < kTokens * kLookups; ++i) rows[i] = random();
    history.remember(*stream_, rows.data(), contexts);
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      const RowId* const first = rows.data() + static_cast<std::int64_t>(i) * kLookups;
      model[contexts[i]] = {batch, {first, first + kLookups}};
    }
    stream_->synchronize();

    for (std::uint32_t& context : contexts) context = random() % kContexts;
    const std::int64_t known = history.recall(*stream_, contexts, out.data());
    stream_->synchronize();
    std::int64_t at = 0;
    for (const std::uint32_t context : contexts) {
      const auto found = model.find(context);
      if (found == model.end()) continue;
      // The ring has three whole batches at the least; with gaps it may have no more.
      const std::vector<RowId>& wanted = found->second.rows;
      const RowId* const got = out.data() + at * kLookups;
      const bool is_there = at < known && std::equal(wanted.begin(), wanted.end(), got);
      if (batch - found->second.batch < 3) {
        ASSERT_TRUE(is_there);
      }
      if (batch - found->second.batch > kRing) {
        ASSERT_FALSE(is_there);
      }
      is_there ? ++recalled : ++forgotten;
      if (is_there) ++at;
    }
    ASSERT_EQ(at, known);
  }
  EXPECT_GT(recalled, 100u);
  EXPECT_GT(forgotten, 5u);
}

TEST_P(RowHistoryTest, KnowsTheNewestTokensOfAContext) {
  RowHistory history(
      backend_, {.tokens = 4, .lookups_per_token = 1, .ring_tokens = 8, .contexts = 2, .depth = 3});
  const Pinned<RowId> rows(backend_, std::vector<RowId>{1, 2, 3, 4}), out(backend_, 12);
  history.remember(*stream_, rows.data(), std::vector<std::uint32_t>{0, 0, 0, 0});
  EXPECT_EQ(history.recall(*stream_, std::vector<std::uint32_t>{1, 0}, out.data()), 3);
  stream_->synchronize();
  EXPECT_EQ((std::vector<RowId>{out[0], out[1], out[2]}), (std::vector<RowId>{4, 3, 2}));
}

TEST_P(RowHistoryTest, VotesAreCountedAndCalibrated) {
  constexpr std::int64_t kLookups = 2;
  HistoryPredictor predictor(backend_, {.layers = 1,
                                        .history = {.tokens = 4,
                                                    .lookups_per_token = kLookups,
                                                    .ring_tokens = 100,
                                                    .contexts = 1000,
                                                    .depth = 2},
                                        .table_rows = 50,
                                        .context_length = 1,
                                        .sequence = 4});
  const Pinned<RowId> rows(backend_, std::vector<RowId>{10, 11, 20, 21, 30, 11, 10, 12});
  predictor.remember(*stream_, 0, rows.data(), std::vector<std::int32_t>{1, 2, 3, 1});
  // Token 1 read 10, 12 and, before, 10, 11; token 3 read 30 and 11; nobody knows token 9.
  VoteRanking ranking;
  const auto predict = [&](const std::vector<std::int32_t>& tokens) {
    const RowVotes::Counted counted = predictor.predict(*stream_, 0, tokens);
    ranking.add(counted.rows, counted.votes);
  };
  for (int micro = 0; micro < 2; ++micro) predict({1, 3, 1, 9});
  const PredictedRows predicted = ranking.take();
  ASSERT_EQ(predicted.size(), 4u);
  const auto expected =
      std::vector<std::pair<RowId, std::uint32_t>>{{10, 4}, {11, 4}, {12, 2}, {30, 2}};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(std::pair(predicted[i].row, predicted[i].votes), expected[i]);
  }
  EXPECT_TRUE(ranking.take().empty());
  // Rows with two votes were read, those with four were not: they change places.
  for (int step = 0; step < 3; ++step) {
    ranking.learn(predicted, std::vector<RowId>{12, 30, 40});
  }
  for (int micro = 0; micro < 2; ++micro) predict({1, 1, 3, 3});
  const PredictedRows again = ranking.take();
  ASSERT_EQ(again.size(), 4u);
  EXPECT_EQ(again[2].votes, 2u);
  EXPECT_GT(again[2].confidence, 0.5);
  EXPECT_LT(again[0].confidence, 0.5);
}

TEST(ContextsTest, AreOfTheTokensThatEndThereWithinTheSequence) {
  const std::vector<std::int32_t> tokens = {5, 6, 5, 6, 6, 5, 6, 5};
  const auto of = [&](int length) {
    std::vector<std::uint32_t> out(tokens.size());
    contexts_of(tokens, 4, length, 1u << 30, out);
    return out;
  };
  const auto one = of(1), two = of(2), three = of(3);
  EXPECT_EQ(one[0], one[2]);
  EXPECT_NE(one[0], one[1]);
  EXPECT_EQ(two[1], two[3]);  // 5 6
  EXPECT_EQ(two[2], two[5]);  // 6 5
  EXPECT_NE(two[1], two[4]);  // the second sequence begins with 6
  EXPECT_EQ(two[4], one[4]);
  EXPECT_EQ(three[3], three[6]);  // 6 5 6
  EXPECT_NE(three[2], three[3]);
  EXPECT_EQ(three[2], of(3)[2]);
  std::vector<std::uint32_t> few(tokens.size());
  contexts_of(tokens, 4, 2, 3, few);
  for (const std::uint32_t context : few) EXPECT_LT(context, 3u);
}

}  // namespace
}  // namespace mneme::memory
