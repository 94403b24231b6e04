// Reads a tiktoken file: a token a line, in base64, with its rank. The pattern and the special
// tokens are not in the file; they belong to a named encoding.
#pragma once

#include <string>

#include "text/byte_pair_tokenizer.h"

namespace mneme::text {

// Whether a file's content begins as one.
bool is_tiktoken(std::string_view content);

// encoding: "r50k_base" (also GPT-2's), "p50k_base", "cl100k_base", "o200k_base", "llama3", "qwen",
// or "auto" to know it by the number of tokens. `path` names the file in errors. Throws Error
// naming the line.
BytePairTokenizerParts parse_tiktoken(std::string content, const std::string& path,
                                      const std::string& encoding);

// Its names, for help: "r50k_base, ...".
std::string tiktoken_encodings();

}  // namespace mneme::text
