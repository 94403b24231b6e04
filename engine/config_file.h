// The text of a configuration, before it is taken apart: read from whatever a path names, and
// checked to be something that a TOML parser can be given.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace mneme::engine {

// Configurations are some kilobytes; a larger file is another one, or has no end.
inline constexpr std::size_t kMostConfigBytes = std::size_t{1} << 20;
// Parts of a dotted key, and lists or inline tables within each other. The parser recurses.
inline constexpr int kMostConfigDepth = 16;

// Reads a file, or a pipe up to its end. Throws Error naming the path and a way out when there is
// nothing to read, it cannot be read, or there is more than kMostConfigBytes.
std::string read_config_file(const std::string& path);

// Throws Error with `name` and the line for text that is too long, not UTF-8, or nested too deep.
void check_config_text(std::string_view text, const std::string& name);

// Position in TOML text where keys or values are nested more than kMostConfigDepth deep.
std::optional<std::size_t> find_too_deep(std::string_view text);

}  // namespace mneme::engine
