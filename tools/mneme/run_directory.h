// What the commands that work on an existing run have in common.
#pragma once

#include <span>
#include <string>

#include "engine/config.h"

namespace mneme::tools {

// The resolved configuration of a run directory, with overrides; run.directory is `directory`.
// Throws Error when there is no run.
engine::Config read_run_config(const std::string& directory,
                               std::span<const std::string> overrides = {});

}  // namespace mneme::tools
