// A BlockFile on io_uring: up to depth() direct transfers in flight, registered file and buffers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/block_file.h"
#include "io/posix_file.h"

namespace mneme::io {

// Set to "refuse", io_uring is treated as forbidden by the system (tests, and a way out for users).
inline constexpr const char* kUringVariable = "MNEME_IO_URING";

// The largest depth that a ring may have.
inline constexpr std::uint32_t kMaxUringDepth = 4096;

// Returns nothing, with the reason in `refusal` and `file` untouched, when the system refuses
// io_uring; takes `file` otherwise. REQUIRES: 1 <= depth <= kMaxUringDepth.
// The ring belongs to the thread of the first transfer. A move to another thread with nothing in
// flight is allowed, and costs a new ring that is a little slower.
std::unique_ptr<BlockFile> make_uring_file(PosixFile& file, std::uint32_t depth,
                                           std::string& refusal);

}  // namespace mneme::io
