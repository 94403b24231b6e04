#include "tests/cuda_emulator/src/device_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include <emulator/device_access.h>
#include "tests/cuda_emulator/src/report.h"

namespace emulator {
namespace {

constexpr std::size_t kRegionBytes = std::size_t{16} << 30;
// A program that takes all there is should not exhaust the machine: every byte is written to.
constexpr std::size_t kDefaultBytes = std::size_t{2} << 30;
// A larger allocation that is freed goes back to the system instead of being filled again.
constexpr std::size_t kKeptBytes = std::size_t{64} << 20;
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
constexpr std::size_t kAlignment = 512;
// Behind every allocation there are at least so many bytes of this value.
constexpr std::size_t kFenceBytes = 256;
constexpr unsigned char kFence = 0xA5;

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// What an allocation takes from the region.
std::size_t extent(std::size_t bytes) {
  return round_up(bytes + kFenceBytes, kAlignment);
}

unsigned char* pointer_to(std::uintptr_t address) {
  return reinterpret_cast<unsigned char*>(address);
}

// Leaves 0xFF bytes, or pages that are zero when there is much to give up.
void give_up(unsigned char* data, std::size_t bytes) {
  const auto first = round_up(reinterpret_cast<std::uintptr_t>(data), kHugePageBytes);
  const auto last =
      reinterpret_cast<std::uintptr_t>(data + bytes) / kHugePageBytes * kHugePageBytes;
  if (bytes <= kKeptBytes) {
    std::memset(data, 0xFF, bytes);
  } else {
    madvise(pointer_to(first), last - first, MADV_DONTNEED);
  }
}

std::size_t configured_bytes() {
  const char* mebibytes = std::getenv("MNEME_EMULATED_MEMORY_MIB");
  if (mebibytes == nullptr) return kDefaultBytes;
  const std::size_t bytes = std::strtoull(mebibytes, nullptr, 10) << 20;
  return std::clamp(bytes, kHugePageBytes, kRegionBytes);
}

}  // namespace

DeviceMemory& DeviceMemory::instance() {
  // Not destroyed at exit: objects of the program that are may still free device memory.
  alignas(DeviceMemory) static unsigned char storage[sizeof(DeviceMemory)];
  static DeviceMemory* const memory = ::new (storage) DeviceMemory;
  return *memory;
}

DeviceMemory::DeviceMemory() : total_bytes_(configured_bytes()) {
  void* reserved = mmap(nullptr, kRegionBytes + kHugePageBytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) die("cannot reserve address space for device memory");
  const auto start = round_up(reinterpret_cast<std::uintptr_t>(reserved), kHugePageBytes);
  region_ = pointer_to(start);
  // Huge pages make opening and closing quick. Without them everything works as well.
  madvise(region_, kRegionBytes, MADV_HUGEPAGE);
  gaps_.emplace(start, total_bytes_);
}

void* DeviceMemory::allocate(std::size_t bytes) {
  const device_access access;
  if (bytes > total_bytes_) return nullptr;
  const std::size_t needed = extent(bytes);
  const auto gap = std::find_if(gaps_.begin(), gaps_.end(),
                                [&](const auto& entry) { return entry.second >= needed; });
  if (gap == gaps_.end()) return nullptr;
  const auto [start, gap_bytes] = *gap;
  gaps_.erase(gap);
  if (gap_bytes > needed) gaps_.emplace(start + needed, gap_bytes - needed);
  allocations_.emplace(start, bytes);
  allocated_bytes_ += needed;
  unsigned char* data = pointer_to(start);
  use(data + needed);
  std::memset(data, 0xFF, bytes);
  std::memset(data + bytes, kFence, needed - bytes);
  return data;
}

bool DeviceMemory::release(void* pointer) {
  const device_access access;
  const auto allocation = allocations_.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (allocation == allocations_.end()) return false;
  auto [start, bytes] = *allocation;
  std::size_t freed = extent(bytes);
  unsigned char* data = pointer_to(start);
  const auto changed = [](unsigned char value) { return value != kFence; };
  unsigned char* written = std::find_if(data + bytes, data + freed, changed);
  if (written != data + freed) {
    die("device memory was written %td bytes behind the end of an allocation of %zu bytes",
        written - (data + bytes), bytes);
  }
  give_up(data, freed);
  allocations_.erase(allocation);
  allocated_bytes_ -= freed;

  auto next = gaps_.lower_bound(start);
  if (next != gaps_.end() && next->first == start + freed) {
    freed += next->second;
    next = gaps_.erase(next);
  }
  if (next != gaps_.begin() && std::prev(next)->first + std::prev(next)->second == start) {
    std::prev(next)->second += freed;
  } else {
    gaps_.emplace(start, freed);
  }
  return true;
}

DeviceMemory::Range DeviceMemory::allocation_of(const void* pointer) {
  const std::lock_guard lock(mutex_);
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  auto allocation = allocations_.upper_bound(address);
  if (allocation == allocations_.begin()) return {};
  --allocation;
  if (address >= allocation->first + allocation->second) return {};
  return {pointer_to(allocation->first), allocation->second};
}

bool DeviceMemory::contains(const void* pointer) const {
  const auto* address = static_cast<const unsigned char*>(pointer);
  return address >= region_ && address < region_ + kRegionBytes;
}

std::size_t DeviceMemory::free_bytes() {
  const std::lock_guard lock(mutex_);
  return total_bytes_ - allocated_bytes_;
}

void DeviceMemory::begin_operation() {
  mutex_.lock();
  if (++operations_ == 1) protect(true);
}

void DeviceMemory::end_operation() {
  if (--operations_ == 0) protect(false);
  mutex_.unlock();
}

// Whole huge pages, so that none is split.
void DeviceMemory::use(unsigned char* end) {
  const std::size_t needed = round_up(static_cast<std::size_t>(end - region_), kHugePageBytes);
  if (needed <= used_bytes_) return;
  used_bytes_ = needed;
  protect(true);
}

void DeviceMemory::protect(bool open) {
  if (used_bytes_ == 0) return;
  const int rights = open ? PROT_READ | PROT_WRITE : PROT_NONE;
  if (mprotect(region_, used_bytes_, rights) != 0) die("cannot change who may use device memory");
}

device_access::device_access() {
  DeviceMemory::instance().begin_operation();
}
device_access::~device_access() {
  DeviceMemory::instance().end_operation();
}

}  // namespace emulator
