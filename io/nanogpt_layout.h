// Files of tokens in the layout of nanoGPT (train.bin, val.bin): uint16 tokens and nothing else.
// There is nothing by which one could be known, so its user has to say that it is one.
#pragma once

#include <cstdint>

#include "io/random_access_file.h"

namespace mneme::io {

// Throws Error naming a file that cannot be one: it is empty or of odd length, or it is certainly
// of another layout (the header of llm.c and the file's length agree; an index of Megatron-LM
// lies beside it).
std::uint64_t count_nanogpt_tokens(const RandomAccessFile& file);

}  // namespace mneme::io
