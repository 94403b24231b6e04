#include "tests/cuda_emulator/src/shared_variables.h"

#include <link.h>

#include <algorithm>
#include <cstring>

namespace emulator {
namespace {

constexpr std::size_t kChunkBytes = 256;

struct ThreadMemory {
  unsigned char* begin = nullptr;
  std::size_t bytes = 0;
};

// The program's own thread-local memory, of the calling thread: that of libraries is not looked at.
int find_thread_memory(dl_phdr_info* info, std::size_t, void* result) {
  auto& memory = *static_cast<ThreadMemory*>(result);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_TLS || info->dlpi_tls_data == nullptr) continue;
    memory = {static_cast<unsigned char*>(info->dlpi_tls_data), info->dlpi_phdr[i].p_memsz};
  }
  return 1;  // The program comes first.
}

}  // namespace

void SharedVariables::before_blocks() {
  static thread_local const ThreadMemory memory = [] {
    ThreadMemory found;
    dl_iterate_phdr(find_thread_memory, &found);
    return found;
  }();
  memory_ = memory.begin;
  bytes_ = memory.bytes;
  before_.resize(bytes_);
  if (bytes_ != 0) std::memcpy(before_.data(), memory_, bytes_);
  changed_.clear();
}

void SharedVariables::after_block(bool first) {
  if (!first) {
    for (const std::size_t begin : changed_) clear(begin, std::min(begin + kChunkBytes, bytes_));
    return;
  }
  for (std::size_t begin = 0; begin < bytes_; begin += kChunkBytes) {
    if (clear(begin, std::min(begin + kChunkBytes, bytes_))) changed_.push_back(begin);
  }
}

void SharedVariables::after_blocks() {
  clear(0, bytes_);
}

bool SharedVariables::clear(std::size_t begin, std::size_t end) {
  if (std::memcmp(memory_ + begin, before_.data() + begin, end - begin) == 0) return false;
  for (std::size_t i = begin; i < end; ++i) {
    memory_[i] |= memory_[i] != before_[i] ? 0xFF : 0;
  }
  return true;
}

}  // namespace emulator
