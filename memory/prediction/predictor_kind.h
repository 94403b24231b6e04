// What predicts which rows coming steps will read (engine/prefetch/row_prefetch.h says how).
#pragma once

#include <cstdint>

#include "io/enum_names.h"

namespace mneme::memory {

// Their numbers are in traces: new ones come at the end.
enum class PredictorKind : std::uint8_t {
  kNone,
  kTokenHistory,
  kBigramHistory,
  kTrigramHistory,
  kLookahead,
  kUnion,
  kAuto,
  kNextBatch,
  kOracleNextStep,
};
constexpr auto enum_names(PredictorKind) {
  return std::to_array<io::EnumName<PredictorKind>>(
      {{"none", PredictorKind::kNone},
       {"token-history", PredictorKind::kTokenHistory},
       {"bigram-history", PredictorKind::kBigramHistory},
       {"trigram-history", PredictorKind::kTrigramHistory},
       {"lookahead", PredictorKind::kLookahead},
       {"union", PredictorKind::kUnion},
       {"auto", PredictorKind::kAuto},
       {"next-batch", PredictorKind::kNextBatch},
       {"oracle-next-step", PredictorKind::kOracleNextStep}});
}

}  // namespace mneme::memory
