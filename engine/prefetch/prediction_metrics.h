// How good the predictions of a layer's rows were, for metrics.jsonl.
#pragma once

#include <cstdint>

#include "memory/prediction/hint_choice.h"
#include "memory/prediction/prediction_score.h"
#include "memory/prediction/predictor_kind.h"

namespace mneme::engine {

struct PredictionMetrics {
  memory::PredictorKind predictor = memory::PredictorKind::kNone;
  std::int64_t distance = -1;  // of lookahead: blocks
  std::int32_t layer = 0;
  memory::PredictionScore score;
  memory::HintScore hints;
};

}  // namespace mneme::engine
