#include "io/transfer.h"

#include <cerrno>
#include <cstring>

#include "io/check.h"

namespace mneme::io {
namespace {

TransferStep finish(Transfer& transfer, int error) {
  transfer.error = error;
  return TransferStep::kFinished;
}

TransferStep stall(Transfer& transfer, int error) {
  if (++transfer.stalls > kMaxStalls) return finish(transfer, error);
  return TransferStep::kRequeue;
}

// A read came to the end of the file: the partial last block is readable, nothing after it is.
TransferStep read_to_end(Transfer& transfer, std::uint64_t file_bytes, std::uint32_t alignment) {
  const BlockRequest& request = transfer.request;
  const std::uint64_t readable = (file_bytes + alignment - 1) / alignment * alignment;
  if (request.offset >= file_bytes || request.offset + request.bytes > readable) {
    return finish(transfer, ENODATA);
  }
  const std::uint64_t valid = file_bytes - request.offset;
  std::memset(request.data + valid, 0, request.bytes - valid);
  transfer.done = request.bytes;
  return finish(transfer, 0);
}

}  // namespace

void check_request(const BlockRequest& request, std::uint32_t alignment) {
  const std::uint64_t mask = alignment - 1;
  CHECK(request.bytes > 0 && request.data != nullptr);
  CHECK((request.offset & mask) == 0 && (request.bytes & mask) == 0,
        "offset {} and bytes {} must be multiples of {}", request.offset, request.bytes, alignment);
  CHECK((reinterpret_cast<std::uintptr_t>(request.data) & mask) == 0,
        "the buffer at {} must be aligned to {}", static_cast<const void*>(request.data),
        alignment);
  CHECK(request.offset + request.bytes > request.offset, "offset {} overflows", request.offset);
}

TransferStep advance(Transfer& transfer, std::int64_t result, const BlockFile& file) {
  const BlockRequest& request = transfer.request;
  if (result == -EAGAIN || result == -EINTR) return stall(transfer, static_cast<int>(-result));
  if (result < 0) return finish(transfer, static_cast<int>(-result));

  const std::uint64_t moved = transfer.done + static_cast<std::uint64_t>(result);
  CHECK(moved <= request.bytes, "{} bytes moved of {}", moved, request.bytes);
  if (moved == request.bytes) {
    transfer.done = request.bytes;
    return finish(transfer, 0);
  }
  const std::uint32_t alignment = file.alignment();
  if (request.operation == BlockOperation::kRead) {
    const std::uint64_t file_bytes = file.size_bytes();
    if (request.offset + moved >= file_bytes) {
      return read_to_end(transfer, file_bytes, alignment);
    }
  }
  const auto whole_blocks = static_cast<std::uint32_t>(moved / alignment * alignment);
  if (whole_blocks <= transfer.done) return stall(transfer, EIO);
  transfer.done = whole_blocks;
  transfer.stalls = 0;
  return TransferStep::kRequeue;
}

BlockCompletion complete(const Transfer& transfer, BlockFileCounters& counters) {
  const bool read = transfer.request.operation == BlockOperation::kRead;
  (read ? counters.reads : counters.writes) += 1;
  if (transfer.error == 0) {
    (read ? counters.read_bytes : counters.written_bytes) += transfer.request.bytes;
  }
  return {transfer.request.tag, transfer.error};
}

}  // namespace mneme::io
