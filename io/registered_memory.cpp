#include "io/registered_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace mneme::io {
namespace {

// Advises the whole pages inside a chunk; its edges may share a page with other data. Advice that
// is refused changes nothing but the safety of forks, so the result is of no consequence here.
void advise(const RegisteredMemory::Chunk& chunk, int advice) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(chunk.begin) + page - 1) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(chunk.begin) + chunk.bytes) / page * page;
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

RegisteredMemory::~RegisteredMemory() {
  for (const Chunk& chunk : chunks_) advise(chunk, MADV_DOFORK);
}

std::size_t RegisteredMemory::add(std::span<std::byte> memory) {
  const std::size_t first = chunks_.size();
  for (std::size_t at = 0; at < memory.size(); at += kMaxChunkBytes) {
    const std::size_t bytes = std::min(kMaxChunkBytes, memory.size() - at);
    chunks_.push_back({memory.data() + at, bytes, static_cast<std::uint32_t>(chunks_.size())});
    advise(chunks_.back(), MADV_DONTFORK);
  }
  return first;
}

void RegisteredMemory::rebuild_index() {
  by_address_.clear();
  for (const Chunk& chunk : chunks_) {
    if (chunk.registered) by_address_.push_back(chunk);
  }
  std::ranges::sort(by_address_, {}, &Chunk::begin);
}

std::optional<std::uint32_t> RegisteredMemory::find(const std::byte* data,
                                                    std::size_t bytes) const {
  auto after = std::ranges::upper_bound(by_address_, data, {}, &Chunk::begin);
  if (after == by_address_.begin()) return std::nullopt;
  const Chunk& chunk = *std::prev(after);
  if (data + bytes > chunk.begin + chunk.bytes) return std::nullopt;
  return chunk.index;
}

}  // namespace mneme::io
