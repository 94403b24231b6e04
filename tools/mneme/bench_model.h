// Training steps of a configuration alone: no run directory, no evaluation, no checkpoints.
#pragma once

#include "engine/config.h"
#include "tools/mneme/bench_model_report.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"

namespace mneme::tools {

// Of `options` it looks at what says how steps are taken; the rows file lies in a folder beside the
// configuration's run.directory while they are. Throws Error, and what `interrupt` throws.
ModelBenchmark measure_model(engine::Config config, const BenchModelOptions& options,
                             const InterruptGuard& interrupt);

}  // namespace mneme::tools
