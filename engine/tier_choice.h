// Budgets of tiers that the configuration leaves to the machine: tiers.device_bytes and its
// siblings as "auto".
#pragma once

#include <cstdint>
#include <optional>

#include "engine/config.h"
#include "io/disk.h"

namespace mneme::engine {

// Bytes that a run may take.
struct FreeMemory {
  std::optional<std::uint64_t> device;  // none: the device has no memory of its own
  std::uint64_t host = 0;
  std::optional<std::uint64_t> disk;  // where the rows files will be; none: not known
};
// Of this machine, now, for the device that the run asks for.
FreeMemory free_memory(const Config& config, const io::Disk& disk);

// Puts bytes in the place of budgets that are "auto", and chooses memory.row_gradient where that
// was waiting for them. More room never makes a run slower, so each takes what there is, up to the
// whole table: the device first, then the host for the rows that the device has no room for. A
// sixteenth of host memory and disk is left for others, and of a device with memory of its own a
// 64th for what operations take while they run. Does nothing where nothing is left to choose.
// Throws Error where the rest of the run leaves no room for the smallest device tier, or two
// checkpoints fill the disk.
void choose_tiers(Config& config, const FreeMemory& free);

}  // namespace mneme::engine
