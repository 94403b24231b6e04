// What a dataset is made of, as JSON: for request.json, by which work that goes on knows that it is
// the same, and for dataset.json.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "text/corpus/source.h"
#include "text/prepare/prepare.h"
#include "text/prepare/sharded_tokens.h"
#include "text/tokenizer.h"

namespace mneme::text {

// What a part's writers have written.
struct DatasetPart {
  std::string folder;  // in the dataset
  PreparedPart counts;
  std::vector<ShardedTokens::File> files;
};

nlohmann::json request_json(const PrepareOptions& options, const Tokenizer& tokenizer,
                            const SourceList& list, std::optional<std::int32_t> separator);

// Throws Error naming the first thing that differs, and how to begin anew.
void check_same_request(const nlohmann::json& begun, const nlohmann::json& asked,
                        const std::string& output);

// The content of dataset.json. Equal inputs and options give equal bytes.
std::string dataset_text(const PrepareOptions& options, const Tokenizer& tokenizer,
                         const SourceList& list, const PreparedDataset& dataset,
                         const DatasetPart& train, const DatasetPart& validation);

}  // namespace mneme::text
