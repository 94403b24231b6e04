// More tokens, rows, slots and heads than the y dimension of a grid has blocks (65535), for every
// operation that may give each of them a block. A campaign: the emulator runs every thread of them.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "tests/kernels/attention_cases.h"
#include "tests/kernels/operation_run.h"
#include "tests/kernels/oracle/keys.h"
#include "tests/kernels/oracle/rows.h"
#include "tests/kernels/oracle/tokens.h"
#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"
#include "tests/support/transfer.h"

namespace mneme::testing {
namespace {

using kernels::RowId;
using kernels::SlotId;

constexpr std::int64_t kMany = 70001;

class LargeGrid : public ::testing::TestWithParam<TestBackend> {
 protected:
  kernels::Backend& backend_ = shared_backend(GetParam());
  std::unique_ptr<kernels::Stream> stream_ = backend_.create_stream();
};

TEST_P(LargeGrid, AttentionOfManyHeads) {
  const oracle::AttentionShape shape{22001, 2, 3, 3, 4, 0.5f};
  expect_oracle(backend_, attention_case("forward", shape));
  expect_oracle(backend_, attention_backward_case("backward", shape));
}

TEST_P(LargeGrid, CrossEntropyOfManyRows) {
  constexpr std::int64_t kVocabulary = 3;
  Numbers numbers(3);
  OperationCase operation;
  operation.tensors = {{"logits", numbers.normal(kMany * kVocabulary)},
                       {"targets", numbers.below(kMany, kVocabulary), ElementType::kInt32},
                       {"losses", garbage(kMany)}};
  operation.run = [](kernels::Backend& backend, kernels::Stream& stream, const DeviceTensors& t) {
    backend.cross_entropy(stream, {.logits = t["logits"],
                                   .targets = t.as<std::int32_t>("targets"),
                                   .losses = t["losses"],
                                   .rows = kMany,
                                   .vocabulary = kVocabulary,
                                   .d_scale = 0.5f});
  };
  operation.oracle = [](OracleTensors& t) {
    oracle::cross_entropy(kVocabulary, 0.5, t["logits"], t["targets"], t["losses"]);
  };
  expect_oracle(backend_, operation);
}

TEST_P(LargeGrid, KeySearchOfManyTokens) {
  constexpr std::int64_t kHalfKeys = 3, kKnn = 2;
  const auto half_scores = random_floats(kMany * 2 * kHalfKeys, 5);
  const Pinned<float> input(backend_, half_scores);
  const Pinned<RowId> rows(backend_, kMany * kKnn);
  const Pinned<float> scores(backend_, kMany * kKnn), weights(backend_, kMany * kKnn);
  backend_.product_keys(*stream_, {.half_scores = input.data(),
                                   .rows = rows.data(),
                                   .scores = scores.data(),
                                   .weights = weights.data(),
                                   .tokens = kMany,
                                   .heads = 1,
                                   .half_keys = kHalfKeys,
                                   .knn = kKnn});
  stream_->synchronize();
  for (std::int64_t t = 0; t < kMany; ++t) {
    const float* first = half_scores.data() + t * 2 * kHalfKeys;
    const auto best = oracle::best_rows(first, first + kHalfKeys, kHalfKeys, kKnn);
    ASSERT_EQ(rows[t * kKnn], best[0].row) << "token " << t;
    ASSERT_EQ(rows[t * kKnn + 1], best[1].row) << "token " << t;
  }
}

TEST_P(LargeGrid, KeyGradientsOfManyTokens) {
  const oracle::KeyShape shape{kMany, 1, 4, 4, 2};
  Numbers numbers(7);
  OperationCase operation;
  operation.tensors = {{"rows", numbers.below(kMany * 2, 16), ElementType::kInt32},
                       {"d_scores", numbers.normal(kMany * 2)},
                       {"queries", numbers.normal(kMany * 8)},
                       {"keys", numbers.normal(32)},
                       {"d_queries", garbage(kMany * 8)},
                       {"d_keys", numbers.normal(32)}};
  operation.run = [shape](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& t) {
    backend.half_key_backward(stream, {.rows = t.as<RowId>("rows"),
                                       .d_scores = t["d_scores"],
                                       .queries = t["queries"],
                                       .keys = t["keys"],
                                       .d_queries = t["d_queries"],
                                       .d_keys = t["d_keys"],
                                       .tokens = shape.tokens,
                                       .heads = shape.heads,
                                       .half_keys = shape.half_keys,
                                       .half_width = shape.half_width,
                                       .knn = shape.knn});
  };
  operation.oracle = [shape](OracleTensors& t) {
    oracle::half_key_backward(shape, t["rows"], t["d_scores"], t["queries"], t["keys"],
                              t["d_queries"], t["d_keys"]);
  };
  expect_oracle(backend_, operation);
}

TEST_P(LargeGrid, SoftmaxGradientsOfManyGroups) {
  Numbers numbers(9);
  OperationCase operation;
  operation.tensors = {{"weights", numbers.normal(kMany * 3)},
                       {"d_weights", numbers.normal(kMany * 3)},
                       {"d_scores", garbage(kMany * 3)}};
  operation.run = [](kernels::Backend& backend, kernels::Stream& stream, const DeviceTensors& t) {
    backend.softmax_backward(stream, {.weights = t["weights"],
                                      .d_weights = t["d_weights"],
                                      .d_scores = t["d_scores"],
                                      .groups = kMany,
                                      .knn = 3});
  };
  operation.oracle = [](OracleTensors& t) {
    oracle::softmax_backward(kMany, 3, t["weights"], t["d_weights"], t["d_scores"]);
  };
  expect_oracle(backend_, operation);
}

// The number of elements needs more than 65535 blocks of 256 threads.
TEST_P(LargeGrid, AdditionOfManyElements) {
  constexpr std::int64_t kCount = 65536 * 256 + 7;
  const auto x = backend_.allocate(kCount * 4, kernels::MemoryKind::kDevice);
  const auto ones = upload(backend_, *stream_, std::vector<float>(kCount, 1.0f));
  backend_.add(*stream_, x.as<float>(), ones.as<float>(), kCount);
  const auto sum = backend_.allocate(8, kernels::MemoryKind::kDevice);
  backend_.sum(*stream_, x.as<float>(), kCount, sum.as<double>());
  EXPECT_EQ(read_device(backend_, *stream_, sum.as<double>(), 1)[0], double{kCount});
  EXPECT_EQ(read_device(backend_, *stream_, x.as<float>() + kCount - 1, 1)[0], 1.0f);
}

// Every row of a table of kMany, looked up once by one of kMany tokens.
TEST_P(LargeGrid, LookupsGatherGradientsAndUpdatesOfManyRows) {
  constexpr std::int64_t kWidth = 4;
  const RowTable table(backend_, {.width = kWidth, .moments = false}, kMany);
  table.fill_randomly(11);
  std::vector<RowId> rows(kMany);
  for (std::int64_t i = 0; i < kMany; ++i) {
    rows[static_cast<std::size_t>(i)] = static_cast<RowId>(i * 12347 % kMany);
  }
  const TestLookups lookups(backend_, *stream_, rows, 1);
  ASSERT_EQ(lookups.distinct(), kMany);
  const auto weight_list = random_floats(kMany, 12), d_y_list = random_floats(kMany * kWidth, 13);
  const Pinned<float> weights(backend_, weight_list), d_y(backend_, d_y_list);
  const Pinned<float> y(backend_, kMany * kWidth), d_weights(backend_, kMany);
  const Pinned<float> norms(backend_, kMany), scale(backend_, 1, 1.0f);
  std::vector<SlotId> slot_list;
  for (RowId row = 0; row < kMany; ++row) slot_list.push_back(table.slot_of(row));
  const Pinned<SlotId> slots(backend_, slot_list);
  backend_.gather_rows(*stream_, table.arena(),
                       {.grouped = lookups.grouped(),
                        .weights = weights.data(),
                        .slots = slots.data(),
                        .count = kMany,
                        .y = y.data()});
  backend_.lookup_dot(*stream_, table.arena(),
                      {.grouped = lookups.grouped(),
                       .d_y = d_y.data(),
                       .slots = slots.data(),
                       .count = kMany,
                       .d_weights = d_weights.data()});
  stream_->synchronize();
  const auto as_double = [](const std::vector<float>& x) {
    return std::vector<double>(x.begin(), x.end());
  };
  EXPECT_LE(relative_error(as_double(y.values()), oracle::gather(table, rows, weight_list, 1, 0)),
            1e-6);
  EXPECT_LE(
      relative_error(as_double(d_weights.values()), oracle::lookup_dot(table, rows, d_y_list, 1)),
      1e-6);

  const kernels::RowGradient gradient =
      gradient_of(lookups.grouped(), weights.data(), d_y.data(), kWidth);
  std::vector<double> expected_norms, norms_found, expected_values, values;
  const auto dense = oracle::row_gradient(kMany, kWidth, rows, weight_list, d_y_list, 1);
  for (RowId row = 0; row < kMany; ++row) {
    double norm = 0;
    for (std::int64_t c = 0; c < kWidth; ++c) {
      const double g = dense[static_cast<std::size_t>(row * kWidth + c)];
      norm += g * g;
      expected_values.push_back(table.value(row, c) - 0.5 * g);
    }
    expected_norms.push_back(norm);
  }
  backend_.row_gradient_norms(*stream_, gradient, 0, kMany, norms.data());
  backend_.update_rows(*stream_, table.arena(), slots.data(), gradient, 0, kMany,
                       {.kind = kernels::RowOptimizerKind::kSgd,
                        .step = 1,
                        .learning_rate = 0.5,
                        .grad_scale = scale.data()});
  stream_->synchronize();
  for (RowId row = 0; row < kMany; ++row) {
    for (std::int64_t c = 0; c < kWidth; ++c) values.push_back(table.value(row, c));
  }
  EXPECT_LE(relative_error(as_double(norms.values()), expected_norms), 1e-6);
  EXPECT_LE(relative_error(values, expected_values), 1e-6);
}

TEST_P(LargeGrid, RecordsOfManyRows) {
  const kernels::RecordLayout layout = OnePart{.width = 4}.layout();
  const RowTable table(backend_, layout, kMany), copy(backend_, layout, kMany);
  std::vector<RowId> row_list(kMany);
  std::iota(row_list.begin(), row_list.end(), 0u);
  std::vector<SlotId> slot_list;
  for (const RowId row : row_list) slot_list.push_back(table.slot_of(row));
  const Pinned<RowId> rows(backend_, row_list);
  const Pinned<SlotId> slots(backend_, slot_list);
  const auto bytes = static_cast<std::int64_t>(layout.record_bytes());
  const Pinned<std::byte> memory(backend_, kMany * bytes);
  const kernels::HostRecords records =
      kernels::HostRecords::in_one_piece(memory.data(), layout.record_bytes());
  backend_.generate_rows(*stream_, table.arena(), rows.data(), slots.data(), kMany,
                         {.seed = 3, .table = 0, .standard_deviation = {1.0f}});
  backend_.pack_records(*stream_, table.arena(), records, nullptr, slots.data(), kMany);
  backend_.unpack_records(*stream_, copy.arena(), records, nullptr, slots.data(), kMany);
  stream_->synchronize();
  EXPECT_NE(table.value(kMany - 1, 3), 0.0f);
  EXPECT_TRUE(copy.bytes() == table.bytes());
  const RowTable again(backend_, layout, kMany);
  backend_.copy_rows(*stream_, table.arena(), slots.data(), again.arena(), slots.data(), kMany);
  const Pinned<float> values(backend_, kMany * 4);
  backend_.read_values(*stream_, again.arena(), 0, slots.data(), kMany, values.data());
  stream_->synchronize();
  EXPECT_TRUE(again.bytes() == table.bytes());
  EXPECT_EQ(values[kMany * 4 - 1], table.value(kMany - 1, 3));
}

INSTANTIATE_TEST_SUITE_P(Backends, LargeGrid, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

}  // namespace
}  // namespace mneme::testing
