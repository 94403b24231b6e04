// What mneme bench model prints: one JSON object, or tables for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/metrics.h"
#include "offload/tiered_store.h"

namespace mneme::tools {

// One measured run.
struct ModelBenchmark {
  std::string config;
  std::string device;
  std::string products;  // what computes matrix products
  std::string tokens;    // where they come from
  std::int64_t dense_parameters = 0;
  std::int64_t tokens_per_step = 0;
  std::int64_t flops_per_token = 0;  // forward and backward (engine/model_costs.h)
  std::int64_t warm_up = 0;
  double open_seconds = 0;  // until everything is allocated and initialised
  double fill_seconds = 0;  // of touching every row; 0 when that was not asked for
  std::vector<engine::StepMetrics> steps;
  // The value table after the last step; all zero without one.
  offload::TierUse use;
  std::uint64_t record_bytes = 0;
};

std::string json_text(const ModelBenchmark& benchmark);
std::string plain_text(const ModelBenchmark& benchmark);

}  // namespace mneme::tools
