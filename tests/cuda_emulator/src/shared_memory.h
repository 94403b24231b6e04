// The dynamic shared memory of the block that runs.
#pragma once

#include <cstddef>

namespace emulator {

// What a block may have at most, static variables included, as on an H100.
inline constexpr std::size_t kMaxSharedBytes = std::size_t{227} << 10;

class SharedMemory {
 public:
  SharedMemory() = default;
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Gives a block `bytes` bytes of 0xFF. They start at a multiple of 1,024 and are followed by less
  // than 1,024 bytes that must not change, then by a page that cannot be touched.
  void prepare(std::size_t bytes);
  void* data() const { return data_; }
  // False if something wrote behind the end.
  bool intact() const;

 private:
  unsigned char* pages_ = nullptr;
  unsigned char* guard_ = nullptr;
  unsigned char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace emulator
