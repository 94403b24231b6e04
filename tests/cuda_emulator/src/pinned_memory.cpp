#include "tests/cuda_emulator/src/pinned_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <iterator>
#include <new>

namespace emulator {
namespace {

constexpr std::size_t kPageBytes = 4096;

// The pages of an allocation, with the one behind it.
std::size_t mapped_bytes(std::size_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes + kPageBytes;
}

}  // namespace

PinnedMemory& PinnedMemory::instance() {
  // Not destroyed at exit: objects of the program that are may still free memory.
  alignas(PinnedMemory) static unsigned char storage[sizeof(PinnedMemory)];
  static PinnedMemory* const memory = ::new (storage) PinnedMemory;
  return *memory;
}

void* PinnedMemory::allocate(std::size_t bytes) {
  const std::size_t mapped = mapped_bytes(bytes);
  if (mapped < bytes) return nullptr;
  void* pages = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  if (mprotect(static_cast<char*>(pages) + mapped - kPageBytes, kPageBytes, PROT_NONE) != 0) {
    munmap(pages, mapped);
    return nullptr;
  }
  std::memset(pages, 0xFF, bytes);
  const std::lock_guard lock(mutex_);
  add_locked(pages, {bytes, true});
  return pages;
}

bool PinnedMemory::release(void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto range = ranges_.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (range == ranges_.end() || !range->second.allocated) return false;
  munmap(pointer, mapped_bytes(range->second.bytes));
  ranges_.erase(range);
  return true;
}

bool PinnedMemory::add(void* pointer, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!add_locked(pointer, {bytes, false})) return false;
  added_bytes_ += bytes;
  return true;
}

bool PinnedMemory::remove(void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto range = ranges_.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (range == ranges_.end() || range->second.allocated) return false;
  added_bytes_ -= range->second.bytes;
  ranges_.erase(range);
  return true;
}

std::size_t PinnedMemory::added_bytes() {
  const std::lock_guard lock(mutex_);
  return added_bytes_;
}

PinnedMemory::Range PinnedMemory::range_of(const void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  auto range = ranges_.upper_bound(address);
  if (range == ranges_.begin()) return {};
  --range;
  if (address >= range->first + range->second.bytes) return {};
  return {reinterpret_cast<unsigned char*>(range->first), range->second.bytes};
}

bool PinnedMemory::add_locked(void* pointer, Entry entry) {
  const auto start = reinterpret_cast<std::uintptr_t>(pointer);
  const auto next = ranges_.lower_bound(start);
  if (next != ranges_.end() && next->first < start + entry.bytes) return false;
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second.bytes > start) return false;
  }
  ranges_.emplace_hint(next, start, entry);
  return true;
}

}  // namespace emulator
