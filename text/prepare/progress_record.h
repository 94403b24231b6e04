// How far the preparation of a dataset is: the content of progress.json.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "text/corpus/raw_batch.h"
#include "text/prepare/prepare.h"
#include "text/prepare/sharded_tokens.h"

namespace mneme::text {

struct ProgressRecord {
  CorpusPosition position;        // where reading goes on
  std::uint64_t input_bytes = 0;  // RawBatch::input_bytes
  std::uint64_t empty_records = 0;
  PreparedPart train, validation;
  ShardedTokensState train_files, validation_files;
};

nlohmann::json progress_json(const ProgressRecord& record);

// The beginning for null. Throws Error for anything that is none, naming how to begin anew.
ProgressRecord parse_progress(const nlohmann::json& json, const std::string& output);

}  // namespace mneme::text
