// Numbers as people read them.
#pragma once

#include <string>

namespace mneme::io {

// "1.50 GiB", "12.0 KiB", "812 B": three digits at most.
std::string human_bytes(double bytes);
// "1h02m", "3m20s", "42s".
std::string human_seconds(double seconds);

}  // namespace mneme::io
