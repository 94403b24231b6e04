// XXH3-64, the project's checksum of files and records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

struct XXH3_state_s;

namespace mneme::io {

std::uint64_t checksum64(std::span<const std::byte> bytes);
std::uint64_t checksum64(std::string_view text);

// The checksum of a sequence of blocks: that of (the sum so far, the next block's checksum).
std::uint64_t extend_checksum(std::uint64_t sum, std::span<const std::byte> block);

// The same of bytes that come piece by piece. Move-only.
class Checksum64 {
 public:
  Checksum64();
  void add(std::span<const std::byte> bytes);
  // Of what was added so far.
  std::uint64_t value() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace mneme::io
