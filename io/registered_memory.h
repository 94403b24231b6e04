// Memory registered with a ring: which fixed-buffer index covers an address range. Registered pages
// are pinned by the kernel and kept out of forked children (MADV_DONTFORK), because a copy-on-write
// after fork would part the program's view of a page from the device's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace mneme::io {

class RegisteredMemory {
 public:
  // The kernel's limit for one fixed buffer.
  static constexpr std::size_t kMaxChunkBytes = std::size_t{1} << 30;
  // Entries of the ring's buffer table; what does not fit is used unregistered.
  static constexpr std::uint32_t kMaxChunks = 1024;

  struct Chunk {
    std::byte* begin = nullptr;
    std::size_t bytes = 0;
    std::uint32_t index = 0;  // of the fixed buffer
    bool registered = false;
  };

  RegisteredMemory() = default;
  RegisteredMemory(const RegisteredMemory&) = delete;
  RegisteredMemory& operator=(const RegisteredMemory&) = delete;
  // Lets forked children have the memory again.
  ~RegisteredMemory();

  // Splits `memory` into chunks, not yet registered, and returns the index of the first new one.
  std::size_t add(std::span<std::byte> memory);
  std::vector<Chunk>& chunks() { return chunks_; }
  // Call after chunks were registered or lost their registration.
  void rebuild_index();

  // The fixed buffer that covers [data, data + bytes) wholly, if there is one.
  std::optional<std::uint32_t> find(const std::byte* data, std::size_t bytes) const;

 private:
  std::vector<Chunk> chunks_;
  std::vector<Chunk> by_address_;  // registered ones only
};

}  // namespace mneme::io
