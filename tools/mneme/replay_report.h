// What came of replays, as text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/report/replays.h"

namespace mneme::tools {

// A table for people, with times where speeds are known; a line of all counts for each replay; all
// that is known, by account. path: of the trace.
std::string replay_table(const std::string& path, const std::vector<report::Replay>& replays);
std::string replay_csv(const std::vector<report::Replay>& replays);
nlohmann::ordered_json replay_json(const std::string& path,
                                   const std::vector<report::Replay>& replays);

}  // namespace mneme::tools
