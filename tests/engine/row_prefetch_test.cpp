// Hints of the coming step's rows.
#include "engine/row_prefetch.h"

#include <gtest/gtest.h>

#include "tests/engine/tiny_run.h"

namespace mneme::engine {
namespace {

using testing::TinyRun;

// A configuration may list other blocks than the model was built with, as when it was edited since.
TEST(RowPrefetch, AsksOnlyBlocksThatAreMemoryLayers) {
  TinyRun tiny;
  Config config = tiny.tiered("run");
  config.memory.blocks = {2};
  config.tiers.prefetch = offload::PrefetchKind::kOracleNextStep;
  config.tiers.prefetch_bytes = 1 << 20;
  config.train.steps = 2;
  tiny.train(config);
  const Manifest manifest = RunDirectory(tiny.disk(), config.run.directory).manifest();
  engine::Run run(config, tiny.disk(), {.id = manifest.run.id, .schedule = {}});
  const std::uint64_t step = run.load(manifest).step;
  Config other = config;
  other.memory.blocks = {0, 1, 2};
  other.train.steps = 3;
  const Data data(data_options(config));
  RowPrefetch prefetch(other, data, run);
  prefetch.hint(step + 1);
  // All touched rows are on disk yet: those that the step will read are on their way.
  EXPECT_GT(run.table()->store().books().total().disk_rows_read(), 0u);
}

}  // namespace
}  // namespace mneme::engine
