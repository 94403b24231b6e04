// What is wrong with the text of a configuration.
#pragma once

#include <string>
#include <vector>

#include "engine/config.h"
#include "io/error.h"

namespace mneme::engine::testing {

// The Error's text, or "no error". The file is called run.toml.
inline std::string error_of(const std::string& text,
                            const std::vector<std::string>& overrides = {}) {
  try {
    parse_config(text, "run.toml", overrides);
  } catch (const io::Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace mneme::engine::testing
