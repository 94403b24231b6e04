// One request on its way: what the outcome of an attempt means, the same for every BlockFile.
#pragma once

#include <cstdint>

#include "io/block_file.h"

namespace mneme::io {

// Attempts in a row that may move nothing before a transfer fails.
inline constexpr std::uint32_t kMaxStalls = 64;

struct Transfer {
  BlockRequest request;
  std::uint32_t done = 0;    // bytes moved, a multiple of the alignment until finished
  std::uint32_t stalls = 0;  // attempts in a row without progress
  int error = 0;             // valid when finished
};

enum class TransferStep { kFinished, kRequeue };

// Aborts when a request breaks the contract of BlockFile (alignment, no bytes, no memory).
void check_request(const BlockRequest& request, std::uint32_t alignment);

// Takes the result of one attempt at the bytes [done, request.bytes): the bytes moved, or a
// negative errno value. Short transfers go on from the last whole block, EAGAIN and EINTR repeat,
// both within kMaxStalls. A read that ends in the file's last, partial block succeeds with zeros
// beyond the end; one that needs more than that block is ENODATA.
TransferStep advance(Transfer& transfer, std::int64_t result, const BlockFile& file);

// Adds a finished transfer to the counters and makes its completion.
BlockCompletion complete(const Transfer& transfer, BlockFileCounters& counters);

}  // namespace mneme::io
