// Memory layers and PEER layers against the float64 oracle where the golden files do not go, and
// the oracle's own gradients against finite differences of its forward.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "io/error.h"
#include "tests/memory/layer_run.h"

namespace mneme::test {
namespace {

struct OracleCase {
  const char* name;
  OracleShape shape;
  std::size_t layers = 1;
  // Chosen so that no two scores nearly tie and no gradient of one element nearly cancels.
  std::uint64_t seed = 1;
};

const OracleCase kCases[] = {
    {"Plain",
     {.tokens = 7,
      .width = 12,
      .heads = 2,
      .half_keys = 9,
      .knn = 5,
      .key_width = 10,
      .value_width = 12}},
    {"SwiluOfAnotherWidth",
     {.tokens = 6,
      .width = 12,
      .heads = 3,
      .half_keys = 6,
      .knn = 4,
      .key_width = 8,
      .value_width = 20,
      .swilu = true}},
    {"ScalarGateAlone",
     {.tokens = 6,
      .width = 10,
      .heads = 2,
      .half_keys = 6,
      .knn = 3,
      .key_width = 6,
      .value_width = 10,
      .scalar_gate = true}},
    {"ScalarGateWithProjection",
     {.tokens = 5,
      .width = 10,
      .heads = 2,
      .half_keys = 6,
      .knn = 3,
      .key_width = 6,
      .value_width = 7,
      .scalar_gate = true}},
    {"RmsNorm",
     {.tokens = 6,
      .width = 12,
      .heads = 2,
      .half_keys = 7,
      .knn = 4,
      .key_width = 16,
      .value_width = 12,
      .swilu = true,
      .norm = OracleNorm::kRms}},
    {"L2Norm",
     {.tokens = 6,
      .width = 12,
      .heads = 2,
      .half_keys = 7,
      .knn = 4,
      .key_width = 16,
      .value_width = 12,
      .scalar_gate = true,
      .norm = OracleNorm::kL2}},
    {"ThreeLayersShareATable",
     {.tokens = 6,
      .width = 12,
      .heads = 2,
      .half_keys = 8,
      .knn = 4,
      .key_width = 8,
      .value_width = 16,
      .swilu = true,
      .scalar_gate = true,
      .norm = OracleNorm::kRms},
     3,
     5},
    {"Peer",
     {.tokens = 7,
      .width = 12,
      .heads = 2,
      .half_keys = 9,
      .knn = 5,
      .key_width = 10,
      .value_width = 12,
      .peer = true}},
    // Sums over columns by groups.
    {"PeerOfSixtyFourColumns",
     {.tokens = 5,
      .width = 64,
      .heads = 2,
      .half_keys = 6,
      .knn = 4,
      .key_width = 12,
      .value_width = 64,
      .norm = OracleNorm::kRms,
      .peer = true}},
    {"ThreePeerLayersShareATable",
     {.tokens = 6,
      .width = 12,
      .heads = 2,
      .half_keys = 8,
      .knn = 4,
      .key_width = 8,
      .value_width = 12,
      .norm = OracleNorm::kL2,
      .peer = true},
     3,
     5},
    {"OneOfEverything",
     {.tokens = 1,
      .width = 1,
      .heads = 1,
      .half_keys = 1,
      .knn = 1,
      .key_width = 2,
      .value_width = 1,
      .swilu = true,
      .scalar_gate = true}},
};

LayerInput random_input(std::mt19937_64& random, const OracleShape& s) {
  LayerInput input;
  Tensors& t = input.tensors;
  const double c = static_cast<double>(s.width);
  t["x"] = random_tensor(random, s.tokens * s.width, 1);
  t["query.weight"] = random_tensor(random, s.query_width() * s.width, 1 / std::sqrt(c));
  t["query.bias"] = random_tensor(random, s.query_width(), 0.1);
  t["keys"] = random_tensor(random, s.heads * 2 * s.half_keys * s.half_width(), 0.5);
  if (s.norm != OracleNorm::kNone) {
    t["query_norm.gain"] = random_tensor(random, s.half_width(), 1);
    t["key_norm.gain"] = random_tensor(random, s.half_width(), 1);
  }
  if (s.swilu) {
    t["gate_in.weight"] = random_tensor(random, s.value_width * s.width, 1 / std::sqrt(c));
    t["gate_in.bias"] = random_tensor(random, s.value_width, 0.3);
  }
  if (s.projects()) {
    t["value_out.weight"] = random_tensor(random, s.width * s.value_width, 0.3);
    t["value_out.bias"] = random_tensor(random, s.width, 0.3);
  }
  if (s.scalar_gate) {
    t["scalar_gate.weight"] = random_tensor(random, s.width, 0.5);
    t["scalar_gate.bias"] = random_tensor(random, 1, 0.5);
  }
  input.d_o = random_tensor(random, s.tokens * s.width, 1);
  return input;
}

class MemoryLayerOracle : public ::testing::TestWithParam<OracleCase> {
 protected:
  MemoryLayerOracle() : random_(GetParam().seed) {
    const OracleShape& s = GetParam().shape;
    values_ = random_tensor(random_, s.half_keys * s.half_keys * s.row_width(), 1);
    for (std::size_t i = 0; i < GetParam().layers; ++i) {
      inputs_.push_back(random_input(random_, s));
    }
  }
  std::mt19937_64 random_;
  Tensor values_;
  std::vector<LayerInput> inputs_;
};

// The loss that d_o is the gradient of.
double loss(const OracleShape& shape, const LayerInput& input, const Tensor& values,
            const std::vector<std::int64_t>& rows) {
  const OracleForward f = oracle_forward(shape, input.tensors, values);
  EXPECT_EQ(f.rows, rows) << "the step of the finite difference changed the choice of rows";
  double sum = 0;
  for (std::size_t i = 0; i < f.o.size(); ++i) sum += f.o[i] * input.d_o[i];
  return sum;
}

TEST_P(MemoryLayerOracle, ItsGradientsAreTheFiniteDifferencesOfItsForward) {
  SCOPED_TRACE("seed " + std::to_string(GetParam().seed));
  const OracleShape& shape = GetParam().shape;
  LayerInput input = inputs_[0];
  Tensor values = values_;
  const OracleForward f = oracle_forward(shape, input.tensors, values);
  Tensor d_values(values.size());
  Tensors gradients = oracle_backward(shape, input.tensors, values, f, input.d_o, d_values);
  constexpr double kStep = 1e-6;
  const auto check = [&](const std::string& name, Tensor& tensor, const Tensor& gradient) {
    SCOPED_TRACE(name);
    // A stride that meets every position of a row and every row sooner or later.
    const std::size_t stride = std::max<std::size_t>(1, tensor.size() / 24) | 1;
    for (std::size_t i = 0; i < tensor.size(); i += stride) {
      const double kept = tensor[i];
      tensor[i] = kept + kStep;
      const double above = loss(shape, input, values, f.rows);
      tensor[i] = kept - kStep;
      const double below = loss(shape, input, values, f.rows);
      tensor[i] = kept;
      EXPECT_NEAR((above - below) / (2 * kStep), gradient[i], 1e-6 * (1 + std::abs(gradient[i])))
          << "element " << i;
    }
  };
  for (auto& [name, tensor] : input.tensors) check(name, tensor, gradients.at(name));
  check("values", values, d_values);
}

TEST_P(MemoryLayerOracle, TheLayerComputesWhatTheOracleDoes) {
  SCOPED_TRACE("seed " + std::to_string(GetParam().seed));
  const OracleShape& shape = GetParam().shape;
  const LayerRunResult result = run_layers(shape, values_, inputs_);
  Tensor d_values(values_.size());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    SCOPED_TRACE("layer " + std::to_string(i));
    const LayerResult& out = result.layers[i];
    const OracleForward f = oracle_forward(shape, inputs_[i].tensors, values_);
    ASSERT_GT(f.smallest_gap, 1e-5) << "the case has near ties: choose another seed";
    EXPECT_EQ(std::vector<std::int64_t>(out.rows.begin(), out.rows.end()), f.rows);
    EXPECT_LE(relative_error(out.scores, f.scores), 1e-5);
    EXPECT_LE(relative_error(out.weights, f.weights), 1e-5);
    EXPECT_LE(relative_error(out.y, f.y), 1e-5);
    EXPECT_LE(relative_error(out.o, f.o), 1e-5);
    const Tensors gradients =
        oracle_backward(shape, inputs_[i].tensors, values_, f, inputs_[i].d_o, d_values);
    for (const auto& [name, gradient] : gradients) {
      EXPECT_LE(relative_error(out.gradients.at(name), gradient), 1e-5) << name;
    }
  }
  EXPECT_LE(relative_error(result.d_values, d_values), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Cases, MemoryLayerOracle, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(TableLayerOptions, AShapeThatDoesNotFitTheTableIsAnErrorThatSaysWhy) {
  const auto io_disk = io::make_posix_disk();
  const ScratchDirectory directory;
  memory::ValueTableOptions table_options;
  table_options.rows = 81;
  table_options.width = 12;
  table_options.optimizer.learning_rate = [](std::uint64_t) { return 1e-3; };
  table_options.tiers.device_bytes = 64u << 20;
  table_options.tiers.host_bytes = 64u << 20;
  table_options.paths = {directory.file("rows")};
  table_options.tokens_per_call = 7;
  table_options.lookups_per_token = 10;
  table_options.gradient_calls_per_step = 1;
  memory::ValueTable table(test_backend(), *io_disk, table_options);
  const memory::TableLayerOptions fits{.width = 12,
                                       .heads = 2,
                                       .knn = 5,
                                       .half_keys = 9,
                                       .key_width = 10,
                                       .value_width = 12,
                                       .tokens = 7};
  EXPECT_NO_THROW(memory::MemoryLayer(test_backend(), table, fits));
  const auto message = [&](auto change) -> std::string {
    memory::TableLayerOptions options = fits;
    change(options);
    try {
      const memory::MemoryLayer layer(test_backend(), table, options);
    } catch (const io::Error& error) {
      return error.what();
    }
    return "no error";
  };
  using Options = memory::TableLayerOptions;
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(message([](Options& o) { o.value_width = 16; }), "value_width is 16"));
  EXPECT_TRUE(has(message([](Options& o) { o.half_keys = 8; }), "from 64 rows"));
  EXPECT_TRUE(has(message([](Options& o) { o.heads = 3; }), "10 lookups"));
  EXPECT_TRUE(has(message([](Options& o) { o.tokens = 8; }), "8 tokens"));
  EXPECT_TRUE(has(message([](Options& o) { o.key_width = 9; }), "must be even"));
}

}  // namespace
}  // namespace mneme::test
