// What the parts of a run are made with, from its configuration. Pure: no backend, no files.
#pragma once

#include <cstdint>

#include "engine/config.h"
#include "engine/model_options.h"
#include "engine/optimizer.h"
#include "memory/value_table.h"

namespace mneme::engine {

ModelOptions model_options(const Config& config);

// The value table's, with the schedule of the configuration from step 1 on. REQUIRES has_memory().
memory::ValueTableOptions value_table_options(const Config& config, std::uint64_t run_id);

DenseOptimizerOptions dense_optimizer_options(const Config& config);

// The shape of the run's rows file; where there are several, see offload::stripe_shape().
// REQUIRES has_memory().
io::RecordFileShape rows_shape(const Config& config, std::uint64_t run_id);

}  // namespace mneme::engine
