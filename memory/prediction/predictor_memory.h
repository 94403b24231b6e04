// What predictors allocate, told beforehand.
#pragma once

#include <cstdint>

#include "memory/prediction/history_predictor.h"
#include "memory/prediction/lookahead_predictor.h"

namespace mneme::memory {

struct PredictorMemory {
  std::uint64_t device_bytes = 0;
  std::uint64_t pinned_bytes = 0;
  std::uint64_t host_bytes = 0;  // of other memory: tables of fixed size
  void operator+=(const PredictorMemory& other);
};

// Of the constructors; lists that grow with what is predicted are left out.
PredictorMemory predictor_memory(const HistoryPredictorOptions& options);
PredictorMemory predictor_memory(const LookaheadOptions& options);

}  // namespace mneme::memory
