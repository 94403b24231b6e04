// Which trace a path on the command line means.
#pragma once

#include <string>

#include "io/disk.h"

namespace mneme::tools {

// A trace's file, or the newest one of a run's folder. Throws Error where there is none.
std::string trace_of(const io::Disk& disk, const std::string& path);

}  // namespace mneme::tools
