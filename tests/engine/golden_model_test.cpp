// Whole models against float64 results that were computed independently (SPEC.md, "golden/").
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "io/safetensors.h"
#include "tests/engine/test_model.h"
#include "tests/support/golden_files.h"

namespace mneme::test {
namespace {

constexpr double kTolerance = 1e-5;

nlohmann::json config_of(const io::SafetensorsReader& file) {
  return nlohmann::json::parse(file.metadata().at("config"));
}

std::string path_of(const std::string& name) {
  return golden_directory() + "/" + name + ".safetensors";
}

std::vector<std::string> golden_models() {
  std::vector<std::string> names;
  for (const std::string& path : golden_files("model_")) {
    names.push_back(std::filesystem::path(path).stem().string());
  }
  return names;
}

engine::ModelOptions options_from(const nlohmann::json& config) {
  engine::ModelOptions options;
  options.vocabulary = config.at("vocab");
  options.width = config.at("width");
  options.blocks = config.at("blocks");
  options.attention_heads = config.at("attn_heads");
  options.kv_heads = config.at("kv_heads");
  options.feed_forward_hidden = config.at("ffn_hidden");
  options.rope_theta = config.at("rope_theta");
  options.norm_epsilon = config.at("norm_eps");
  options.tied_output = config.at("tied_output");
  options.feed_forward = {config.at("kind") == "peer" ? engine::FeedForwardKind::kPeer
                                                      : engine::FeedForwardKind::kMemory,
                          config.at("memory_blocks").get<std::vector<std::int64_t>>()};
  options.feed_forward.set(engine::FeedForwardKind::kMoe,
                           config.at("moe_blocks").get<std::vector<std::int64_t>>());
  options.moe.experts = config.at("experts");
  options.batch = config.at("batch");
  options.sequence = config.at("seq");
  options.memory.heads = config.at("heads");
  options.memory.knn = config.at("knn");
  options.memory.half_keys = config.at("half_keys");
  options.memory.key_width = config.at("key_width");
  options.memory.value_width = config.at("value_width");
  options.memory.gate = config.at("gate") == "swilu" ? memory::Gate::kSwilu : memory::Gate::kNone;
  options.memory.scalar_gate = config.at("scalar_gate");
  return options;
}

std::vector<std::int32_t> to_ids(const std::vector<std::int64_t>& values) {
  return {values.begin(), values.end()};
}

// A model with the parameters, the value table and the tokens of a golden file.
struct LoadedModel {
  LoadedModel(const std::string& name, const TestModelSettings& settings)
      : disk(io::make_posix_disk()),
        file(*disk, path_of(name)),
        options(options_from(config_of(file))),
        test(options, settings),
        tokens(to_ids(file.read_i64("in.tokens"))),
        targets(to_ids(file.read_i64("in.targets"))) {
    EXPECT_EQ(test.parameters().contains("output.weight"), !options.tied_output);
    for (const engine::Parameter& parameter : test.parameters().directory()) {
      const std::string from = "in." + parameter.declaration.name;
      EXPECT_EQ(file.info(from).shape, parameter.declaration.shape) << from;
      test.parameters().write(*test.stream, engine::ParameterBuffer::kValues, parameter,
                              file.read_f32(from));
    }
    if (!test.table) return;
    std::vector<kernels::RowId> rows(test.table->options().rows);
    std::iota(rows.begin(), rows.end(), 0u);
    const std::vector<double> values = golden_rows(file, "in.");
    test.table->write_values(rows, std::vector<float>(values.begin(), values.end()), 0);
  }

  engine::MicroBatch batch() const {
    return {
        .tokens = tokens, .targets = targets, .batch = options.batch, .sequence = options.sequence};
  }
  std::vector<float> logits() {
    if (test.table) test.table->begin_evaluation(0);
    std::vector<float> out(static_cast<std::size_t>(options.tokens() * options.vocabulary));
    test.model->logits(*test.stream, batch(), options.sequence, out);
    return out;
  }

  std::unique_ptr<io::Disk> disk;
  io::SafetensorsReader file;
  engine::ModelOptions options;
  TestModel test;
  std::vector<std::int32_t> tokens, targets;
};

class GoldenModel : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenModel, MatchesFloat64InLossLogitsRowsAndEveryGradient) {
  LoadedModel model(GetParam(), {});
  const io::SafetensorsReader& file = model.file;
  const engine::ModelOptions& options = model.options;
  TestModel& test = model.test;
  const engine::MicroBatch batch = model.batch();
  const double loss = test.gradients({{batch}});
  EXPECT_NEAR(loss, file.read_f64("out.loss").at(0), kTolerance * file.read_f64("out.loss").at(0));

  for (const std::int64_t block : options.table_blocks()) {
    const std::vector<std::int64_t> wanted =
        file.read_i64("out.layers." + std::to_string(block) + ".rows");
    const memory::TableLayer* layer = test.model->table_layer(block);
    ASSERT_NE(layer, nullptr);
    const std::vector<kernels::RowId> rows = test.download(layer->rows(), wanted.size());
    EXPECT_EQ(std::vector<std::int64_t>(rows.begin(), rows.end()), wanted) << "block " << block;
  }
  for (const engine::Parameter& parameter : test.parameters().directory()) {
    const std::string& name = parameter.declaration.name;
    EXPECT_LE(relative_error(test.read(engine::ParameterBuffer::kGradients, parameter),
                             file.read_f64("grad." + name)),
              kTolerance)
        << name;
  }
  if (test.table) {
    EXPECT_LE(relative_error(test.table->dense_gradient(*test.stream), golden_rows(file, "grad.")),
              kTolerance);
  }

  EXPECT_LE(relative_error(model.logits(), file.read_f64("out.logits")), kTolerance);
  EXPECT_NEAR(test.evaluate(batch), loss, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenModel, ::testing::ValuesIn(golden_models()),
                         [](const auto& test) { return golden_test_name(test.param); });

// How far bf16 activations and weights may take a small model: 2^-8 a rounding, through its blocks.
// Rows with nearly equal scores may change places, so that single gradients say little.
constexpr double kBf16Loss = 1e-2, kBf16Logits = 5e-2;

struct InBf16 {
  testing::TestBackend backend;
  std::string file;
};

std::vector<InBf16> bf16_models() {
  std::vector<InBf16> all;
  for (const auto& backend : testing::bf16_backends_under_test()) {
    for (const std::string& file : golden_models()) all.push_back({backend, file});
  }
  return all;
}

class GoldenModelInBf16 : public ::testing::TestWithParam<InBf16> {};
// There may be no backend that computes in bf16.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenModelInBf16);

TEST_P(GoldenModelInBf16, IsCloseToFloat64InLossAndLogits) {
  LoadedModel model(GetParam().file, {.backend = GetParam().backend});
  const double expected = model.file.read_f64("out.loss").at(0);
  EXPECT_NEAR(model.test.gradients({{model.batch()}}), expected, kBf16Loss * expected);
  EXPECT_LE(relative_error(model.logits(), model.file.read_f64("out.logits")), kBf16Logits);
  EXPECT_NEAR(model.test.evaluate(model.batch()), expected, kBf16Loss * expected);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenModelInBf16, ::testing::ValuesIn(bf16_models()),
                         [](const auto& test) {
                           return golden_test_name(test.param.file) + "_" + test.param.backend.name;
                         });

TEST(GoldenModels, AreFound) {
  EXPECT_FALSE(golden_models().empty()) << "no model_*.safetensors in " << golden_directory();
}

}  // namespace
}  // namespace mneme::test
