#include "io/file_io.h"

#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"

namespace mneme::io {
namespace {

void transfer_and_wait(BlockFile& file, const BlockRequest& request) {
  CHECK(file.in_flight() == 0, "{}: {} requests are in flight", file.path(), file.in_flight());
  CHECK(file.submit(request));
  BlockCompletion completion;
  CHECK(file.poll({&completion, 1}, /*wait=*/true) == 1);
  if (completion.error == 0) return;
  const char* verb = request.operation == BlockOperation::kRead ? "read" : "write";
  fail("{}: cannot {} {} bytes at offset {}: {}", file.path(), verb, request.bytes, request.offset,
       errno_text(completion.error));
}

}  // namespace

void read_blocks(BlockFile& file, std::uint64_t offset, std::span<std::byte> out) {
  CHECK(out.size() <= UINT32_MAX);
  transfer_and_wait(
      file, {BlockOperation::kRead, offset, out.data(), static_cast<std::uint32_t>(out.size()), 0});
}

void write_blocks(BlockFile& file, std::uint64_t offset, std::span<std::byte> content) {
  CHECK(content.size() <= UINT32_MAX);
  transfer_and_wait(file, {BlockOperation::kWrite, offset, content.data(),
                           static_cast<std::uint32_t>(content.size()), 0});
}

}  // namespace mneme::io
