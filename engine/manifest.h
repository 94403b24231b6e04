// The root of a run's checkpoints: one JSON file, checksummed, replaced by an atomic rename.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/disk.h"

namespace mneme::engine {

struct CheckpointEntry {
  std::uint64_t step = 0;
  std::string dense;                             // file name in the checkpoints directory
  std::uint64_t dense_checksum = 0;              // of its tensors' bytes, see checkpoint.cpp
  std::vector<std::vector<std::string>> tables;  // per value table: base, then deltas in order
  std::map<std::string, std::string> state;      // what else resuming needs, by name
};

struct Manifest {
  // What the run is: a checkpoint of another model cannot be loaded. Key -> value, as in the
  // configuration.
  std::map<std::string, std::string> identity;
  std::vector<CheckpointEntry> checkpoints;  // oldest first
};

std::string manifest_path(const std::string& directory);
bool manifest_exists(const io::Disk& disk, const std::string& directory);
// Throws Error naming the file and what is wrong with it.
Manifest read_manifest(const io::Disk& disk, const std::string& directory);
// Durable when it returns; before that the old manifest stands.
void write_manifest(io::Disk& disk, const std::string& directory, const Manifest& manifest);

}  // namespace mneme::engine
