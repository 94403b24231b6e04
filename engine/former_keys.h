// Keys of earlier versions that are still read, in files and after --set, and never written:
// memory.kind and memory.blocks, which model.feed_forward has taken the place of.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/config_reader.h"

namespace mneme::engine {

struct FormerKeys {
  std::string memory_kind;  // "none" or "memory"
  std::vector<std::int64_t> memory_blocks;
};

// Bound to the fields of `former`.
std::vector<Key> former_keys(FormerKeys& former);

// What they mean for the configuration: "none" takes memory layers and PEER away, "memory" puts
// memory layers into the blocks. The new key counts where it was set after --set and they were in a
// file. Throws Error where both stand beside each other.
void apply_former_keys(const FormerKeys& former, const KeyPlaces& places, Config& config);

}  // namespace mneme::engine
