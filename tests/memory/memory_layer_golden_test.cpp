// Memory layers and PEER layers against golden files that were computed independently in float64.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "offload/tiered_store.h"
#include "tests/memory/layer_run.h"
#include "tests/support/golden_files.h"

namespace mneme::test {
namespace {

constexpr double kTolerance = 1e-5;

OracleShape golden_shape(const nlohmann::json& config) {
  return {.tokens = config.at("tokens"),
          .width = config.at("width"),
          .heads = config.at("heads"),
          .half_keys = config.at("half_keys"),
          .knn = config.at("knn"),
          .key_width = config.at("key_width"),
          .value_width = config.at("value_width"),
          .swilu = config.at("gate") == "swilu",
          .scalar_gate = config.at("scalar_gate"),
          .peer = config.at("kind") == "peer"};
}

// All tensors "<prefix><name>" of a file, by name.
Tensors tensors_under(const io::SafetensorsReader& reader, const std::string& prefix) {
  Tensors out;
  for (const io::TensorInfo& info : reader.tensors()) {
    if (info.name.rfind(prefix, 0) != 0) continue;
    out[info.name.substr(prefix.size())] = reader.read_f64(info.name);
  }
  return out;
}

class MemoryLayerGolden : public ::testing::TestWithParam<std::string> {
 protected:
  MemoryLayerGolden() : file_(GetParam()), shape_(golden_shape(file_.config)) {
    const auto layers = file_.config.at("layers").get<std::size_t>();
    for (std::size_t i = 0; i < layers; ++i) {
      LayerInput input;
      input.tensors = tensors_under(file_.reader, layer(i) + ".in.");
      input.d_o = input.tensors.at("grad_o");
      input.tensors.erase("grad_o");
      inputs_.push_back(input);
    }
  }

  static std::string layer(std::size_t i) { return "layer" + std::to_string(i); }

  LayerRunResult run(std::uint64_t device_bytes = 0, kernels::Backend& backend = test_backend()) {
    return run_layers(shape_, golden_rows(file_.reader, "in."), inputs_, device_bytes, backend);
  }

  // Every bit of two runs is the same.
  void expect_equal(const LayerRunResult& a, const LayerRunResult& b) {
    EXPECT_EQ(a.d_values, b.d_values);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      SCOPED_TRACE(layer(i));
      EXPECT_EQ(a.layers[i].o, b.layers[i].o);
      EXPECT_EQ(a.layers[i].gradients, b.layers[i].gradients);
    }
  }

  GoldenFile file_;
  OracleShape shape_;
  std::vector<LayerInput> inputs_;
};

TEST_P(MemoryLayerGolden, ForwardPicksTheSameRowsAndComputesTheSameOutput) {
  const LayerRunResult result = run();
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    SCOPED_TRACE(layer(i));
    const LayerResult& out = result.layers[i];
    const std::vector<std::int64_t> rows = file_.reader.read_i64(layer(i) + ".out.rows");
    EXPECT_EQ(std::vector<std::int64_t>(out.rows.begin(), out.rows.end()), rows);
    const auto expected = [&](const char* name) {
      return file_.reader.read_f64(layer(i) + ".out." + name);
    };
    EXPECT_LE(relative_error(out.scores, expected("scores")), kTolerance);
    EXPECT_LE(relative_error(out.weights, expected("weights")), kTolerance);
    EXPECT_LE(relative_error(out.y, expected("y")), kTolerance);
    EXPECT_LE(relative_error(out.o, expected("o")), kTolerance);
  }
}

TEST_P(MemoryLayerGolden, BackwardComputesTheSameGradients) {
  const LayerRunResult result = run();
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Tensors expected = tensors_under(file_.reader, layer(i) + ".grad.");
    ASSERT_FALSE(expected.empty());
    for (const auto& [name, tensor] : expected) {
      SCOPED_TRACE(layer(i) + ".grad." + name);
      ASSERT_EQ(result.layers[i].gradients.count(name), 1u);
      EXPECT_LE(relative_error(result.layers[i].gradients.at(name), tensor), kTolerance);
    }
  }
  EXPECT_LE(relative_error(result.d_values, golden_rows(file_.reader, "grad.")), kTolerance);
}

TEST_P(MemoryLayerGolden, TheSmallestDeviceTierChangesNoBit) {
  const auto layout = memory::record_layout(kernels::RowOptimizerKind::kAdamW, shape_.value_width,
                                            kernels::FloatType::kF32, kernels::FloatType::kF32,
                                            false, shape_.peer ? 2 : 1);
  expect_equal(run(offload::minimum_device_bytes(layout)), run());
}

TEST_P(MemoryLayerGolden, AnotherBackendOfOneThreadGivesTheSameBits) {
  const auto one_thread = make_test_backend({.threads = 1});
  expect_equal(run(0, *one_thread), run());
}

INSTANTIATE_TEST_SUITE_P(Files, MemoryLayerGolden, ::testing::ValuesIn(golden_files("memory_")),
                         [](const auto& file) { return golden_test_name(file.param); });

INSTANTIATE_TEST_SUITE_P(PeerFiles, MemoryLayerGolden, ::testing::ValuesIn(golden_files("peer")),
                         [](const auto& file) { return golden_test_name(file.param); });

TEST(MemoryLayerGoldenFiles, ThereAreSome) {
  for (const char* kind : {"memory_", "peer"}) {
    EXPECT_FALSE(golden_files(kind).empty())
        << "no " << kind << "*.safetensors in " << golden_directory();
  }
}

}  // namespace
}  // namespace mneme::test
