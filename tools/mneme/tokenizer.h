// What commands that take a tokenizer share.
#pragma once

#include <memory>

#include "text/tokenizer.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

// Throws Error as text::open_tokenizer does.
std::unique_ptr<text::Tokenizer> open_tokenizer(const TokenizerFile& file);

}  // namespace mneme::tools
