// SentencePiece models (BPE and unigram, with byte fallback), by its library.
#pragma once

#include <memory>
#include <string>

#include "text/tokenizer.h"

namespace mneme::text {

// `path` names the file in errors. Throws Error for what is no model, and for models of words or
// characters.
std::unique_ptr<Tokenizer> parse_sentencepiece(std::string content, const std::string& path);

}  // namespace mneme::text
