// Text that a tokenizer has made tokens of, all of it in memory.
#pragma once

#include <memory>

#include "engine/data_files.h"
#include "engine/token_source.h"

namespace mneme::engine {

// Reads and encodes the text of a place, on all cores. With a token that ends documents in the
// tokenizer, it stands in front of each document. Throws Error naming the key and the file, for
// what is no UTF-8 and for a tokenizer whose vocabulary is larger than data.vocabulary.
// REQUIRES: place.tokenizer is not empty.
std::unique_ptr<TokenSource> open_tokenized_text(const DataPlace& place);

}  // namespace mneme::engine
