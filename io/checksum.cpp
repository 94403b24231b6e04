#include "io/checksum.h"

#include <xxhash.h>

namespace mneme::io {

std::uint64_t checksum64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t checksum64(std::string_view text) {
  return XXH3_64bits(text.data(), text.size());
}

}  // namespace mneme::io
