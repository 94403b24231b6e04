#include "io/nanogpt_layout.h"

#include "io/error.h"
#include "io/llm_c_layout.h"
#include "io/megatron_layout.h"

namespace mneme::io {
namespace {

bool is_whole_llm_c_shard(const RandomAccessFile& file) {
  try {
    read_llm_c_header(file);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::uint64_t count_nanogpt_tokens(const RandomAccessFile& file) {
  const std::uint64_t bytes = file.size_bytes();
  if (bytes == 0) fail("{}: holds no tokens", file.path());
  if (bytes % sizeof(std::uint16_t) != 0) {
    fail("{}: {} bytes are not those of uint16 tokens; it is cut short, or of another layout",
         file.path(), bytes);
  }
  if (is_whole_llm_c_shard(file)) {
    fail("{}: is a token shard of llm.c, not a file of nanoGPT; read it as one", file.path());
  }
  if (has_megatron_index(file.path())) {
    fail("{}: has an index of Megatron-LM beside it, {}; read it in that layout, or move the index",
         file.path(), megatron_index_path(file.path()));
  }
  return bytes / sizeof(std::uint16_t);
}

}  // namespace mneme::io
