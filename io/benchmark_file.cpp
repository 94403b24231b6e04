#include "io/benchmark_file.h"

#include <algorithm>
#include <cstring>

#include "io/aligned_buffer.h"
#include "io/check.h"
#include "io/file_io.h"

namespace mneme::io {
namespace {

struct MarkBlock {
  std::uint64_t magic = 0x48434e4542454d4e;  // "NMEBENCH"
  std::uint64_t content_bytes = 0;
  std::uint64_t complete = 0;
};

AlignedBuffer block_for(const BlockFile& file) {
  return {kBenchmarkMarkBytes, std::max<std::uint64_t>(file.alignment(), kBenchmarkMarkBytes)};
}

}  // namespace

std::optional<BenchmarkMark> read_benchmark_mark(BlockFile& file) {
  const std::uint64_t bytes = file.size_bytes();
  if (bytes < kBenchmarkMarkBytes || bytes % kBenchmarkMarkBytes != 0) return {};
  AlignedBuffer memory = block_for(file);
  read_blocks(file, bytes - kBenchmarkMarkBytes, memory.span());
  MarkBlock block;
  std::memcpy(&block, memory.data(), sizeof(block));
  if (block.magic != MarkBlock().magic || block.content_bytes != bytes - kBenchmarkMarkBytes) {
    return {};
  }
  return BenchmarkMark{block.content_bytes, block.complete == 1};
}

void write_benchmark_mark(BlockFile& file, const BenchmarkMark& mark) {
  CHECK(mark.content_bytes % kBenchmarkMarkBytes == 0);
  const MarkBlock block = {MarkBlock().magic, mark.content_bytes, mark.complete ? 1u : 0u};
  AlignedBuffer memory = block_for(file);
  std::memcpy(memory.data(), &block, sizeof(block));
  // First the new mark, then the new length: at no moment is the file without one.
  write_blocks(file, mark.content_bytes, memory.span());
  if (file.size_bytes() != mark.content_bytes + kBenchmarkMarkBytes) {
    file.truncate(mark.content_bytes + kBenchmarkMarkBytes);
  }
  file.sync();
}

bool is_benchmark_file(Disk& disk, const std::string& path) {
  if (!disk.exists(path)) return false;
  OpenOptions open;
  open.read_only = true;
  open.depth = 1;
  open.engine = IoEngine::kSync;
  return read_benchmark_mark(*disk.open(path, open)).has_value();
}

}  // namespace mneme::io
