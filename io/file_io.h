// Blocking transfers on a BlockFile, for headers, tensors and other reads off the hot path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "io/block_file.h"

namespace mneme::io {

// One transfer, waited for. REQUIRES: nothing else is in flight; offset, size and address are
// aligned. Throws Error naming the path and the offset.
void read_blocks(BlockFile& file, std::uint64_t offset, std::span<std::byte> out);
void write_blocks(BlockFile& file, std::uint64_t offset, std::span<std::byte> content);

}  // namespace mneme::io
