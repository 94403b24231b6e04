// What predictors have learned, beside a run's checkpoints: <run>/predictors.safetensors, the sums
// of each map by its name. It belongs to no checkpoint and changes no result: a resumed run goes on
// with what it finds, and starts afresh where the file is missing, damaged or another run's.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "io/disk.h"
#include "memory/prediction/query_map.h"

namespace mneme::engine {

using NamedMaps = std::vector<std::pair<std::string, memory::QueryMap*>>;

std::string predictors_path(const std::string& run_directory);

// Replaces the file, unless there is nothing to write or it is not the run's. A failure is a
// warning.
void save_predictors(io::Disk& disk, const std::string& path, std::uint64_t run_id,
                     const NamedMaps& maps);
// Fills the maps that the file has in their shape. Waits for the stream.
void load_predictors(io::Disk& disk, const std::string& path, std::uint64_t run_id,
                     kernels::Stream& stream, const NamedMaps& maps);

}  // namespace mneme::engine
