// The prompt of a sample: text as tokens that a model continues.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace mneme::engine {

// Why a model of this vocabulary cannot continue the prompt's bytes, and the way out; empty when it
// can.
std::string prompt_problem(std::string_view prompt, std::int64_t vocabulary);

// The prompt's tokens, its bytes without a tokenizer (null). Throws Error where prompt_problem
// finds one, for a prompt that is no UTF-8 and for one that the tokenizer makes nothing of.
std::vector<std::int32_t> prompt_tokens(std::string_view prompt, const text::Tokenizer* tokenizer,
                                        std::int64_t vocabulary);

}  // namespace mneme::engine
