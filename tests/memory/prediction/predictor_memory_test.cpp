// Predictors allocate what is said beforehand.
#include "memory/prediction/predictor_memory.h"

#include <gtest/gtest.h>

#include "tests/support/counting_memory.h"
#include "tests/support/test_backend.h"

namespace mneme::memory {
namespace {

template <typename Predictor, typename Options>
void expect_memory(const Options& options) {
  testing::CountingMemory backend(testing::test_backend());
  const Predictor predictor(backend, options);
  const PredictorMemory said = predictor_memory(options);
  EXPECT_EQ(backend.bytes(kernels::MemoryKind::kDevice), said.device_bytes);
  EXPECT_EQ(backend.bytes(kernels::MemoryKind::kPinnedHost), said.pinned_bytes);
  EXPECT_GT(said.device_bytes, 0u);
}

TEST(PredictorMemoryTest, OfHistories) {
  for (const PredictorKind kind : {PredictorKind::kTokenHistory, PredictorKind::kTrigramHistory}) {
    for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1} << 20}) {
      const HistoryPredictorOptions options = history_options(kind, {.layers = 3,
                                                                     .tokens = 24,
                                                                     .lookups_per_token = 6,
                                                                     .sequence = 12,
                                                                     .table_rows = 1000,
                                                                     .bytes = bytes});
      expect_memory<HistoryPredictor>(options);
      // What the ring takes is what it may, but for one micro-batch.
      const std::uint64_t ring =
          static_cast<std::uint64_t>(options.history.ring_tokens) * 3 * 6 * sizeof(kernels::RowId);
      EXPECT_LE(ring, std::max<std::uint64_t>(bytes, 24 * 3 * 6 * sizeof(kernels::RowId)));
    }
  }
}

TEST(PredictorMemoryTest, OfLookingAhead) {
  for (const QueryKeyNorm norm : {QueryKeyNorm::kNone, QueryKeyNorm::kRms}) {
    for (const bool learns : {false, true}) {
      expect_memory<LookaheadPredictor>(LookaheadOptions{
          .width = 16,
          .search =
              {.heads = 2, .knn = 5, .half_keys = 16, .key_width = 8, .norm = norm, .tokens = 24},
          .norm_epsilon = 1e-5,
          .table_rows = 256,
          .learns = learns});
    }
  }
}

}  // namespace
}  // namespace mneme::memory
