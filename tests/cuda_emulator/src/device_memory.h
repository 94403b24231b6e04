// Device memory: one reserved region of address space that is closed to everybody except while the
// device works.
//
// Allocations lie side by side in it, each followed by bytes that must not change, so that opening
// and closing is one system call for all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace emulator {

class DeviceMemory {
 public:
  // The only one. It lasts until the process ends.
  static DeviceMemory& instance();

  // A range of address space.
  struct Range {
    unsigned char* begin = nullptr;
    std::size_t bytes = 0;
  };

  // Null when there is no room. The bytes are 0xFF.
  void* allocate(std::size_t bytes);
  // False if nothing was allocated there. Aborts when the bytes behind it have changed.
  bool release(void* pointer);
  // The allocation that holds the address; of 0 bytes if there is none.
  Range allocation_of(const void* pointer);
  // Whether the address lies in the region, allocated or not.
  bool contains(const void* pointer) const;

  std::size_t total_bytes() const { return total_bytes_; }
  std::size_t free_bytes();

  // One operation of the device at a time; within a thread they nest. Memory is open in between.
  void begin_operation();
  void end_operation();

 private:
  DeviceMemory();
  void protect(bool open);
  void use(unsigned char* end);

  std::recursive_mutex mutex_;  // held for the length of an operation
  int operations_ = 0;          // of the thread that holds the mutex
  unsigned char* region_ = nullptr;
  std::size_t total_bytes_ = 0;
  std::size_t used_bytes_ = 0;  // from the region's start, whole huge pages; never gets less
  std::size_t allocated_bytes_ = 0;
  std::map<std::uintptr_t, std::size_t> allocations_;  // start -> bytes that were asked for
  std::map<std::uintptr_t, std::size_t> gaps_;         // start -> bytes
};

}  // namespace emulator
