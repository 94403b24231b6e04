// config.toml of a run directory: the resolved configuration for people to read, under a line that
// says whose it is. What counts is the copy in the manifest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mneme::engine {

// The file's text: a comment with the run's id and the checksum of the configuration, then the
// configuration.
std::string run_config_text(std::uint64_t run_id, std::string_view config);

// The run that a text is the config.toml of; nothing when mneme has not written it just so.
std::optional<std::uint64_t> run_of_config_text(std::string_view text);

}  // namespace mneme::engine
