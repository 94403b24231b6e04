// Checks what the SentencePiece library takes on trust in a model's file.
#pragma once

#include <string>
#include <string_view>

namespace mneme::text {

// The library follows the normalization table of a model without looking at its bounds. Throws
// Error naming the file where a walk could leave it.
void check_normalization_table(std::string_view model, const std::string& path);

}  // namespace mneme::text
