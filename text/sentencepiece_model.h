// What a SentencePiece model's file says that its library does not tell, and what the library takes
// on trust in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/unigram.h"

namespace mneme::text {

// The library takes a model's file on trust: it follows normalization tables without looking at
// their bounds, and keeps what it finds in arrays of fixed sizes. Throws Error naming the file
// where it could leave them, where the file is not whole, and where it has more than kMostTokens
// pieces.
void check_sentencepiece_model(std::string_view model, const std::string& path);

// Whether a model chooses the most likely pieces; the others join pairs, or take words or
// characters. REQUIRES for this and the next: check_sentencepiece_model(model).
bool is_unigram(std::string_view model);

// The vocabulary of a model that the library has accepted.
std::vector<UnigramPiece> pieces_of(std::string_view model);

}  // namespace mneme::text
