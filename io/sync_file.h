// A BlockFile on pread and pwrite: every request is carried out when it is submitted, its
// completion waits in a queue. For machines that refuse io_uring, and for tests.
#pragma once

#include <cstdint>
#include <memory>

#include "io/block_file.h"
#include "io/posix_file.h"

namespace mneme::io {

// depth: the most completions that may wait, at least 1.
std::unique_ptr<BlockFile> make_sync_file(PosixFile file, std::uint32_t depth);

}  // namespace mneme::io
