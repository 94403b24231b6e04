// The prompt of a sample: text whose bytes are the tokens that a model continues.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::engine {

// Why a model of this vocabulary cannot continue the prompt, and the way out; empty when it can.
std::string prompt_problem(std::string_view prompt, std::int64_t vocabulary);

// The prompt's tokens. Throws Error where prompt_problem finds one.
std::vector<std::int32_t> prompt_tokens(std::string_view prompt, std::int64_t vocabulary);

}  // namespace mneme::engine
