#include "io/checksum.h"

#include <xxhash.h>

#include "io/error.h"

namespace mneme::io {

std::uint64_t checksum64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t checksum64(std::string_view text) {
  return XXH3_64bits(text.data(), text.size());
}

std::uint64_t extend_checksum(std::uint64_t sum, std::span<const std::byte> block) {
  const std::uint64_t parts[] = {sum, checksum64(block)};
  return checksum64(std::as_bytes(std::span(parts)));
}

Checksum64::Checksum64() : state_(XXH3_createState()) {
  if (state_ == nullptr) fail("out of memory for a checksum; use a smaller batch or model");
  XXH3_64bits_reset(state_.get());
}

void Checksum64::Free::operator()(XXH3_state_s* state) const {
  XXH3_freeState(state);
}

void Checksum64::add(std::span<const std::byte> bytes) {
  XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
}

std::uint64_t Checksum64::value() const {
  return XXH3_64bits_digest(state_.get());
}

}  // namespace mneme::io
