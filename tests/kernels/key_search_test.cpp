// Product-key search against all half_keys^2 rows, in the defined order, ties included.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "io/error.h"
#include "tests/kernels/oracle/keys.h"
#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

// How scores are made: the rougher, the more of them are equal.
enum class Scores {
  kNormal,
  kBf16,        // rounded to bf16, as a bf16 model would have them
  kCoarse,      // multiples of 1/4: most of the best rows tie
  kConstant,    // all rows tie
  kAbsorbed,    // one half is so large that sums of different scores round to the same number
  kWithLowest,  // some -infinity, masked keys
};

struct Case {
  Scores scores;
  std::int64_t tokens, heads, half_keys, knn;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Scores scores : {Scores::kNormal, Scores::kBf16, Scores::kCoarse, Scores::kConstant,
                              Scores::kAbsorbed, Scores::kWithLowest}) {
    all.push_back({scores, 1, 1, 1, 1});
    all.push_back({scores, 3, 2, 2, 1});
    all.push_back({scores, 3, 2, 7, 7});
    all.push_back({scores, 4, 3, 33, 32});
    all.push_back({scores, 4, 2, 100, 17});
    all.push_back({scores, 3, 1, 130, 128});
    all.push_back({scores, 2, 1, 301, 64});
    all.push_back({scores, 2, 1, 513, 32});
  }
  return all;
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  const Case& c = info.param;
  return fmt::format("scores{}_t{}_h{}_n{}_k{}", static_cast<int>(c.scores), c.tokens, c.heads,
                     c.half_keys, c.knn);
}

std::vector<float> make_scores(const Case& shape) {
  const std::int64_t n = shape.half_keys;
  std::vector<float> scores = random_floats(shape.tokens * shape.heads * 2 * n, 17);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const bool second = static_cast<std::int64_t>(i) / n % 2 == 1;
    float& s = scores[i];
    switch (shape.scores) {
      case Scores::kNormal:
        break;
      case Scores::kBf16:
        s = kernels::bf16_to_float(kernels::float_to_bf16(s));
        break;
      case Scores::kCoarse:
        s = std::round(s * 4) / 4;
        break;
      case Scores::kConstant:
        s = -1.5f;
        break;
      case Scores::kAbsorbed:
        s = second ? 1e6f + std::round(s) : s * 0.1f;
        break;
      case Scores::kWithLowest:
        if (i % 3 == 1 && static_cast<std::int64_t>(i) % n != 0) {
          s = -std::numeric_limits<float>::infinity();
        }
        break;
    }
  }
  return scores;
}

struct Found {
  std::vector<kernels::RowId> rows;
  std::vector<float> scores, weights;
};
Found search(kernels::Backend& backend, const Case& shape, const std::vector<float>& half_scores) {
  const auto stream = backend.create_stream();
  const std::int64_t count = shape.tokens * shape.heads * shape.knn;
  const Pinned<float> input(backend, half_scores);
  const Pinned<kernels::RowId> rows(backend, count, ~0u);
  const Pinned<float> scores(backend, count), weights(backend, count);
  backend.product_keys(*stream, {.half_scores = input.data(),
                                 .rows = rows.data(),
                                 .scores = scores.data(),
                                 .weights = weights.data(),
                                 .tokens = shape.tokens,
                                 .heads = shape.heads,
                                 .half_keys = shape.half_keys,
                                 .knn = shape.knn});
  stream->synchronize();
  return {rows.values(), scores.values(), weights.values()};
}

class ProductKeys : public ::testing::TestWithParam<Case> {};

TEST_P(ProductKeys, FindsTheBestOfAllRowsInTheDefinedOrder) {
  const Case shape = GetParam();
  const auto half_scores = make_scores(shape);
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    const Found found = search(backend, shape, half_scores);
    std::size_t at = 0;
    for (std::int64_t group = 0; group < shape.tokens * shape.heads; ++group) {
      const float* first = half_scores.data() + group * 2 * shape.half_keys;
      const auto expected =
          oracle::best_rows(first, first + shape.half_keys, shape.half_keys, shape.knn);
      double sum = 0;
      for (const auto& e : expected) {
        sum += std::exp(static_cast<double>(e.score) - static_cast<double>(expected[0].score));
      }
      for (const auto& e : expected) {
        ASSERT_EQ(found.rows[at], e.row) << "group " << group << ", position " << at;
        ASSERT_EQ(found.scores[at], e.score);
        const double weight =
            std::exp(static_cast<double>(e.score) - static_cast<double>(expected[0].score)) / sum;
        ASSERT_NEAR(found.weights[at], weight, 1e-6 * weight + 1e-12);
        ++at;
      }
    }
    if (!test.has_threads) continue;
    const Found one = search(*test.make({.threads = 1}), shape, half_scores);
    EXPECT_TRUE(one.rows == found.rows && one.scores == found.scores &&
                one.weights == found.weights);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ProductKeys, ::testing::ValuesIn(cases()), name_of);

TEST(ProductKeysErrors, NameTheTokenAndHeadOfAScoreThatIsNotFinite) {
  const Case shape{Scores::kNormal, 3, 2, 40, 8};
  for (const TestBackend& test : backends_under_test()) {
    SCOPED_TRACE(test.name);
    kernels::Backend& backend = shared_backend(test);
    for (const auto& [bad, text] :
         {std::pair{std::nanf(""), "not a number"},
          std::pair{std::numeric_limits<float>::infinity(), "infinite"}}) {
      // Token 1, head 1, second half.
      auto half_scores = make_scores(shape);
      half_scores[static_cast<std::size_t>((3 * 2 + 1) * 40 + 39)] = bad;
      try {
        search(backend, shape, half_scores);
        FAIL() << "no error for " << text;
      } catch (const io::Error& error) {
        EXPECT_NE(std::string(error.what()).find("token 1, head 1"), std::string::npos)
            << error.what();
        EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace mneme::testing
