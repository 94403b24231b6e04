// What a SentencePiece model's file says that its library does not tell, and what the library takes
// on trust in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/unigram.h"

namespace mneme::text {

// The library follows the normalization table of a model without looking at its bounds. Throws
// Error naming the file where a walk could leave it.
void check_normalization_table(std::string_view model, const std::string& path);

// Whether a model chooses the most likely pieces; the others join pairs, or take words or
// characters.
bool is_unigram(std::string_view model);

// The vocabulary of a model that the library has accepted.
std::vector<UnigramPiece> pieces_of(std::string_view model);

}  // namespace mneme::text
