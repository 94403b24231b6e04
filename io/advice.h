// Ways out that errors of several rooms name, so that they name the same one.
#pragma once

namespace mneme::io {

// For a damaged file of a checkpoint.
inline constexpr const char* kOlderCheckpoint =
    "restore it from a backup, or go on from an older checkpoint (mneme inspect DIR lists them, "
    "mneme resume DIR --step N takes one)";

}  // namespace mneme::io
