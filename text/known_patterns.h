// The pre-tokenizer patterns of published byte-level tokenizers, as their own files write them.
#pragma once

#include <string_view>

namespace mneme::text {

// GPT-2: as Hugging Face's ByteLevel and as tiktoken writes it (r50k, p50k).
extern const std::string_view kGpt2Pattern;
extern const std::string_view kR50kPattern;
extern const std::string_view kCl100kPattern;
// Llama 3, and the same with single digits: Qwen 2 and 2.5.
extern const std::string_view kLlama3Pattern;
extern const std::string_view kQwen2Pattern;
extern const std::string_view kO200kPattern;

// Whether the pattern is one of these: their pieces never hold an ASCII letter with white space
// behind it, so that text can be cut there.
bool cuts_behind_letters(std::string_view expression);

}  // namespace mneme::text
