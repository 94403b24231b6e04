// What `mneme profile` has measured beside a run, kept in the run's folder as profile.json: the
// steps that count, and what this machine's links carry at most.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/config.h"
#include "io/disk.h"
#include "kernels/backend.h"

namespace mneme::report {

// Bytes a second; 0: not measured.
struct Ceilings {
  double host_to_device = 0, device_to_host = 0;  // one large copy
  double disk_read = 0, disk_write = 0;           // slots of the rows file, at random, at io_depth
  // Whether the run emulates the link, whose declared speed it then is.
  bool host_is_emulated = false, disk_is_emulated = false;
};

struct ProfileNotes {
  std::uint64_t first_step = 0;  // the first that counts
  std::string date;              // UTC, as 2026-01-31 12:00
  std::string version;           // of mneme, and its commit
  std::string machine;           // processor, cores, memory
  std::string device;            // as training says it
  Ceilings ceilings;
};

std::string profile_notes_path(const std::string& run_directory);
// Replaces what mneme has written there before; anything else under the name is an Error.
void write_profile_notes(io::Disk& disk, const std::string& run_directory,
                         const ProfileNotes& notes);
// Nothing where there are none. Throws Error naming the file.
std::optional<ProfileNotes> read_profile_notes(io::Disk& disk, const std::string& run_directory);

// The processor, its cores and the memory of this machine.
std::string this_machine();

// What the machine reaches now, with nothing else of the run's under way. A file of `disk_bytes` is
// written in the folder of the rows for it, and removed. slot_bytes: of the rows file; 0: no disk.
// check: asked between transfers; what it throws ends the call.
Ceilings measure_ceilings(kernels::Backend& backend, io::Disk& disk, const engine::Config& config,
                          std::uint32_t slot_bytes, const std::function<void()>& check);

}  // namespace mneme::report
