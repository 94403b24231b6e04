// Host memory that the device may copy from and to: what cudaHostAlloc and cudaHostRegister know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace emulator {

class PinnedMemory {
 public:
  // The only one. It lasts until the process ends.
  static PinnedMemory& instance();

  struct Range {
    unsigned char* begin = nullptr;
    std::size_t bytes = 0;
  };

  // Memory that starts at a page and ends with a page that cannot be touched. The bytes are 0xFF.
  // Null when there is none.
  void* allocate(std::size_t bytes);
  bool release(void* pointer);
  // False if part of the range is known already.
  bool add(void* pointer, std::size_t bytes);
  // What was added and not removed.
  std::size_t added_bytes();
  bool remove(void* pointer);
  // The range that holds the address; of 0 bytes if there is none.
  Range range_of(const void* pointer);

 private:
  struct Entry {
    std::size_t bytes;
    bool allocated;  // by allocate()
  };
  bool add_locked(void* pointer, Entry entry);

  std::mutex mutex_;
  std::map<std::uintptr_t, Entry> ranges_;  // by start
  std::size_t added_bytes_ = 0;
};

}  // namespace emulator
