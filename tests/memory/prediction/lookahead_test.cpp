// Looking ahead: a map that is learned from pairs against the one that made them, and the rows that
// a layer's own projection finds against those of the layer.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "memory/prediction/lookahead_predictor.h"
#include "memory/prediction/query_map.h"
#include "memory/product_keys.h"
#include "tests/kernels/pinned.h"
#include "tests/support/test_backend.h"

namespace mneme::memory {
namespace {

using kernels::RowId;
using mneme::testing::Pinned;

class LookaheadTest : public ::testing::TestWithParam<mneme::testing::TestBackend> {
 protected:
  std::vector<float> normal(std::int64_t count, double scale = 1) {
    std::normal_distribution<double> draw(0, scale);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = static_cast<float>(draw(random_));
    return values;
  }
  template <typename T>
  std::vector<T> read(const T* device, std::int64_t count) {
    const Pinned<T> host(backend_, count);
    backend_.copy(*stream_, host.data(), device, static_cast<std::size_t>(count) * sizeof(T));
    stream_->synchronize();
    return host.values();
  }

  kernels::Backend& backend_ = mneme::testing::shared_backend(GetParam());
  std::unique_ptr<kernels::Stream> stream_ = backend_.create_stream();
  std::mt19937 random_{3};
};

INSTANTIATE_TEST_SUITE_P(Backends, LookaheadTest,
                         ::testing::ValuesIn(mneme::testing::backends_under_test()),
                         mneme::testing::backend_name);

TEST_P(LookaheadTest, AMapIsLearnedFromPairs) {
  constexpr std::int64_t kWidth = 12, kQueries = 20, kTokens = 30;
  const std::vector<float> weight = normal(kQueries * kWidth), bias = normal(kQueries);
  const auto learn = [&](QueryMap& map, int steps, double drift) {
    std::normal_distribution<float> noise(0, 0.01f);
    for (int step = 0; step < steps; ++step) {
      const Pinned<float> states(backend_, normal(kTokens * kWidth));
      const Pinned<float> queries(backend_, kTokens * kQueries);
      for (std::int64_t t = 0; t < kTokens; ++t) {
        for (std::int64_t q = 0; q < kQueries; ++q) {
          double sum = bias[static_cast<std::size_t>(q)];
          for (std::int64_t c = 0; c < kWidth; ++c) {
            sum += (double{weight[static_cast<std::size_t>(q * kWidth + c)]} + drift) *
                   double{states[t * kWidth + c]};
          }
          queries[t * kQueries + q] = static_cast<float>(sum) + noise(random_);
        }
      }
      map.observe(*stream_, states.data(), queries.data(), kTokens);
      map.refit(*stream_);
    }
  };
  const auto error = [&](const QueryMap& map, double drift) {
    const std::vector<float> learned = read(map.weight(), kQueries * kWidth);
    const std::vector<float> offset = read(map.bias(), kQueries);
    double worst = 0;
    for (std::size_t i = 0; i < learned.size(); ++i) {
      worst = std::max(worst, std::abs(double{learned[i]} - weight[i] - drift));
    }
    for (std::size_t i = 0; i < offset.size(); ++i) {
      worst = std::max(worst, std::abs(double{offset[i]} - bias[i]));
    }
    return worst;
  };
  QueryMap map(backend_, kWidth, kQueries);
  EXPECT_FALSE(map.is_known());
  map.refit(*stream_);
  EXPECT_FALSE(map.is_known());
  learn(map, 30, 0);
  ASSERT_TRUE(map.is_known());
  EXPECT_LT(error(map, 0), 0.02);
  // The target moves, and the map after it.
  learn(map, 600, 0.5);
  EXPECT_LT(error(map, 0.5), 0.02);

  QueryMap copy(backend_, kWidth, kQueries);
  copy.restore(*stream_, map.sums());
  EXPECT_EQ(read(copy.weight(), kQueries * kWidth), read(map.weight(), kQueries * kWidth));
  EXPECT_EQ(read(copy.bias(), kQueries), read(map.bias(), kQueries));
  EXPECT_THROW(copy.restore(*stream_, std::vector<double>(7)), std::exception);
  // What is not finite is forgotten, and no error.
  std::vector<double> broken = map.sums();
  broken[3] = std::nan("");
  copy.restore(*stream_, broken);
  EXPECT_FALSE(copy.is_known());
  learn(copy, 30, 0);
  EXPECT_LT(error(copy, 0), 0.02);
}

TEST_P(LookaheadTest, FromTheLayersOwnStateItFindsTheLayersRows) {
  constexpr std::int64_t kWidth = 16, kTokens = 40;
  for (const QueryKeyNorm norm : {QueryKeyNorm::kNone, QueryKeyNorm::kRms, QueryKeyNorm::kL2}) {
    const KeySearchOptions search{
        .heads = 2, .knn = 3, .half_keys = 11, .key_width = 8, .norm = norm, .tokens = kTokens};
    const std::int64_t queries = search.query_width();
    const Pinned<float> state(backend_, normal(kTokens * kWidth)),
        norm_gain(backend_, normal(kWidth)), weight(backend_, normal(queries * kWidth)),
        bias(backend_, normal(queries)),
        keys(backend_, normal(search.key_rows() * search.half_width())),
        query_gain(backend_, normal(search.half_width())),
        key_gain(backend_, normal(search.half_width())), normed(backend_, kTokens * kWidth),
        inverse(backend_, kTokens);
    const ProductKeyParameters parameters{.query_weight = weight.data(),
                                          .query_weight_compute = weight.data(),
                                          .query_bias = bias.data(),
                                          .keys = keys.data(),
                                          .query_norm_gain = query_gain.data(),
                                          .key_norm_gain = key_gain.data()};
    backend_.norm(*stream_, {.x = state.data(),
                             .gain = norm_gain.data(),
                             .out = normed.data(),
                             .inverse = inverse.data(),
                             .rows = kTokens,
                             .width = kWidth});
    ProductKeys layer(backend_, {.width = kWidth, .search = search});
    layer.forward(*stream_, parameters, normed.data(), kTokens);
    const std::vector<RowId> rows = read(layer.rows(), kTokens * search.lookups());

    LookaheadPredictor predictor(backend_, {.width = kWidth,
                                            .search = search,
                                            .norm_epsilon = 1e-5,
                                            .table_rows = 121,
                                            .learns = false});
    predictor.predict(*stream_, {.norm_gain = norm_gain.data(), .keys = parameters}, state.data(),
                      kTokens);
    const RowVotes::Counted counted = predictor.await();
    const std::set<RowId> distinct(rows.begin(), rows.end());
    EXPECT_EQ(std::vector<RowId>(counted.rows.begin(), counted.rows.end()),
              std::vector<RowId>(distinct.begin(), distinct.end()));

    // A predictor that has learned finds them from a state that is a linear map of this one.
    LookaheadPredictor learner(backend_, {.width = kWidth,
                                          .search = search,
                                          .norm_epsilon = 1e-5,
                                          .table_rows = 121,
                                          .learns = true,
                                          .observed_tokens = 16});
    for (std::uint64_t turn = 0; turn < 9; ++turn) {
      learner.observe(*stream_, {.norm_gain = norm_gain.data(), .keys = parameters}, state.data(),
                      layer.queries(), kTokens, turn);
      learner.map().refit(*stream_);
    }
    ASSERT_TRUE(learner.map().is_known());
    learner.predict(*stream_, {.norm_gain = norm_gain.data(), .keys = parameters}, state.data(),
                    kTokens);
    const RowVotes::Counted learned = learner.await();
    std::vector<RowId> common;
    std::set_intersection(learned.rows.begin(), learned.rows.end(), distinct.begin(),
                          distinct.end(), std::back_inserter(common));
    EXPECT_GT(common.size(), distinct.size() * 8 / 10);
  }
}

}  // namespace
}  // namespace mneme::memory
