// Reads a tokenizer.json of Hugging Face's tokenizers: byte-level byte-pair encoding as GPT-2,
// Llama 3 and Qwen 2.5 have it.
#pragma once

#include <string>

#include "text/byte_pair_tokenizer.h"

namespace mneme::text {

// `path` names the file in errors. Throws Error that names what is wrong or not supported, for what
// is no JSON with the line.
BytePairTokenizerParts parse_tokenizer_json(std::string content, const std::string& path);

}  // namespace mneme::text
