// XXH3-64, the project's checksum of files and records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace mneme::io {

std::uint64_t checksum64(std::span<const std::byte> bytes);
std::uint64_t checksum64(std::string_view text);

}  // namespace mneme::io
