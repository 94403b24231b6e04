#include "tests/cuda_emulator/src/shared_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "tests/cuda_emulator/src/report.h"

namespace emulator {
namespace {

constexpr std::size_t kAlignment = 1024;
constexpr std::size_t kPageBytes = 4096;
// 227 KiB in whole pages.
constexpr std::size_t kUsableBytes = (kMaxSharedBytes + kPageBytes - 1) / kPageBytes * kPageBytes;
constexpr unsigned char kUntouched = 0xA5;

}  // namespace

SharedMemory::~SharedMemory() {
  if (pages_ != nullptr) munmap(pages_, kUsableBytes + kPageBytes);
}

void SharedMemory::prepare(std::size_t bytes) {
  if (pages_ == nullptr) {
    void* pages = mmap(nullptr, kUsableBytes + kPageBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) die("no memory for shared memory");
    pages_ = static_cast<unsigned char*>(pages);
    guard_ = pages_ + kUsableBytes;
    if (mprotect(guard_, kPageBytes, PROT_NONE) != 0) die("no guard page for shared memory");
    std::memset(pages_, kUntouched, kUsableBytes);
  }
  if (bytes != bytes_ || data_ == nullptr) {
    bytes_ = bytes;
    data_ = guard_ - (bytes + kAlignment - 1) / kAlignment * kAlignment;
    std::memset(data_ + bytes, kUntouched, static_cast<std::size_t>(guard_ - (data_ + bytes)));
  }
  std::memset(data_, 0xFF, bytes);
}

bool SharedMemory::intact() const {
  return std::all_of(data_ + bytes_, guard_,
                     [](unsigned char value) { return value == kUntouched; });
}

}  // namespace emulator
