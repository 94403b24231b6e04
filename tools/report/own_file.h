// Files of a report: they appear whole, and replace only what mneme has written before.
#pragma once

#include <string>
#include <string_view>

#include "io/disk.h"

namespace mneme::report {

// mark: how the file begins, by which it is known again. Throws Error where another file stands
// under the name, and as io::replace_file() does.
void replace_own_file(io::Disk& disk, const std::string& path, std::string_view mark,
                      std::string_view content);

}  // namespace mneme::report
