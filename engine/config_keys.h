// The one table of configuration keys.
#pragma once

#include <vector>

#include "engine/config.h"
#include "engine/config_reader.h"

namespace mneme::engine {

// Every key, in the order of the documentation, bound to the fields of `config`.
std::vector<Key> config_keys(Config& config);

struct ConfigSection {
  const char* name;         // "memory.optimizer"
  const char* description;  // one sentence
};
// The sections, in order.
std::vector<ConfigSection> config_sections();

// Relations between keys. `places` says where keys were set, for messages. Throws Error.
void check_relations(const Config& config, const KeyPlaces& places);

}  // namespace mneme::engine
