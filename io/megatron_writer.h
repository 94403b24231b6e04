// Writes files of tokens in the layout of Megatron-LM. The lengths of documents wait in a file of
// their own, int32 as the index has them, and make the index in finish().
#pragma once

#include <memory>
#include <string>

#include "io/disk.h"
#include "io/token_writer.h"

namespace mneme::io {

std::string partial_lengths_path(const std::string& path);

// As make_token_writer().
std::unique_ptr<TokenWriter> make_megatron_writer(Disk& disk, const TokenWriterOptions& options);

}  // namespace mneme::io
