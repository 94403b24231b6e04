// What a run is said to take is what its parts allocate.
#include "engine/memory_use.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/model.h"
#include "engine/model_costs.h"
#include "engine/optimizer.h"
#include "engine/run_options.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/sizing_backend.h"
#include "memory/value_table.h"
#include "tests/engine/run_configs.h"
#include "tests/engine/tiny_run.h"

namespace mneme::engine {
namespace {

// The CPU backend, and how much of it is allocated.
class CountingBackend final : public kernels::cpu::CpuBackend {
 public:
  CountingBackend() : CpuBackend({.threads = 1}) {}
  kernels::Buffer allocate(std::size_t bytes, kernels::MemoryKind kind) override {
    count(kind) += bytes;
    return CpuBackend::allocate(bytes, kind);
  }
  kernels::AllocatedBytes allocated;

 protected:
  void release(void* data, std::size_t bytes, kernels::MemoryKind kind) noexcept override {
    count(kind) -= bytes;
    CpuBackend::release(data, bytes, kind);
  }

 private:
  std::uint64_t& count(kernels::MemoryKind kind) {
    return kind == kernels::MemoryKind::kDevice ? allocated.device : allocated.pinned;
  }
};

// Takes steps as a run does.
void train(kernels::Backend& backend, const Config& config, memory::ValueTable* table, Model& model,
           DenseOptimizer& optimizer) {
  const auto stream = backend.create_stream();
  model.parameters().initialize(*stream, 1);
  std::mt19937 random(1);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(config.tokens_per_micro_batch()) + 1);
  for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random() % 256);
  const std::span<const std::int32_t> all(tokens);
  for (std::uint64_t step = 1; step <= 3; ++step) {
    if (table != nullptr) table->begin_step(step);
    model.begin_step(*stream);
    for (std::int64_t micro = 0; micro < config.train.micro_batches; ++micro) {
      if (table != nullptr) table->make_gradient_room(*stream, std::ssize(config.table_blocks()));
      model.forward_backward(*stream,
                             {.tokens = all.first(all.size() - 1),
                              .targets = all.subspan(1),
                              .batch = config.train.batch,
                              .sequence = config.train.sequence},
                             1.0 / static_cast<double>(config.train.micro_batches));
    }
    optimizer.step(*stream, step);
    if (table != nullptr) table->finish_step(*stream);
    model.take_loss(*stream);
    stream->synchronize();
  }
}

void expect_allocates_what_is_said(const Config& config) {
  check_config(config);
  const MemoryUse use = memory_use(config, /*on_cuda=*/false);
  const auto disk = io::make_posix_disk();
  const bool existed_before = disk->exists(config.run.directory);
  CountingBackend backend;
  std::unique_ptr<memory::ValueTable> table;
  if (config.has_memory()) {
    table = std::make_unique<memory::ValueTable>(backend, *disk, value_table_options(config, 1));
    table->store().prepare_checkpoints();  // opens the rows files
  }
  Model model(backend, model_options(config), table.get());
  DenseOptimizer optimizer(backend, model.parameters(), dense_optimizer_options(config));
  EXPECT_FALSE(existed_before) << "asking has made " << config.run.directory;
  EXPECT_EQ(use.device() - use.prediction, backend.allocated.device);
  EXPECT_EQ(use.host() - use.host_prediction, backend.allocated.pinned);
  const kernels::AllocatedBytes before = backend.allocated;
  train(backend, config, table.get(), model, optimizer);
  // Operations' temporary memory went with the stream, but for that of the planner's own.
  EXPECT_LE(backend.allocated.device, before.device + (128 << 10));
  EXPECT_EQ(backend.allocated.pinned, before.pinned);
}

TEST(MemoryUse, IsWhatThePartsOfARunAllocateAndTrainingAddsNothing) {
  testing::TinyRun runs;
  const Config whole = runs.config("whole");
  expect_allocates_what_is_said(whole);
  expect_allocates_what_is_said(runs.tiered("tiered"));
  Config dense = whole;
  dense.run.directory = runs.path("dense");
  dense.model.feed_forward = {};
  expect_allocates_what_is_said(dense);
  Config saved = runs.tiered("saved");
  saved.checkpoint.every = 2;
  expect_allocates_what_is_said(saved);
  Config accumulated = whole;
  accumulated.run.directory = runs.path("accumulated");
  accumulated.memory.row_gradient = RowGradientKind::kAccumulated;
  accumulated.train.row_gradient_bytes = 1;
  accumulated.tiers.store.device_bytes *= 2;
  expect_allocates_what_is_said(accumulated);
  Config narrow = whole;
  narrow.run.directory = runs.path("narrow");
  narrow.memory.value_type = narrow.memory.moment_type = kernels::FloatType::kBF16;
  expect_allocates_what_is_said(narrow);
}

TEST(MemoryUse, OfMixturesAndPeerIsExactToo) {
  testing::TinyRun runs;
  for (const char* kinds : {"peer@1", "moe@0-2"}) {
    SCOPED_TRACE(kinds);
    const Config whole = runs.config(kinds);
    const std::vector<std::string> overrides = {std::string("model.feed_forward=") + kinds,
                                                "tiers.device_bytes=1MiB"};
    expect_allocates_what_is_said(parse_config(to_toml(whole), "test", overrides));
  }
}

TEST(MemoryUse, TellsOfTablesThatNoMachineHereHas) {
  const Config config = load_config(std::string(MNEME_SOURCE_DIR) + "/configs/h200-8192.toml");
  const MemoryUse use = memory_use(config, /*on_cuda=*/true);
  const ModelCosts costs = model_costs(config);
  EXPECT_EQ(use.device_tier / costs.table.device_slot_bytes,
            costs.table.tiers.training + costs.table.tiers.evaluation);
  EXPECT_GT(use.device_tier, std::uint64_t{90} << 30);
  EXPECT_LE(use.device_tier, config.tiers.store.device_bytes);
  EXPECT_GT(use.host_tier, std::uint64_t{79} << 30);
  // Where each of the 67M rows is.
  EXPECT_GT(use.device_table, costs.table.rows * 4);
}

// As configurations of the project say in their comments: they fit the machine that they are for.
TEST(MemoryUse, ConfigurationsForOneH200FitIt) {
  for (const std::string& name : testing::run_configs()) {
    if (!name.starts_with("h200")) continue;
    SCOPED_TRACE(name);
    const Config config = load_config(std::string(MNEME_SOURCE_DIR) + "/configs/" + name);
    const MemoryUse use = memory_use(config, /*on_cuda=*/true);
    EXPECT_LT(use.device(), std::uint64_t{138} << 30);
    EXPECT_LT(use.host(), std::uint64_t{120} << 30);
  }
}

}  // namespace
}  // namespace mneme::engine
