// Files that are known again by how they begin: they appear whole, and replace only what mneme has
// written before.
#pragma once

#include <string>
#include <string_view>

#include "io/disk.h"

namespace mneme::io {

// Whether a file that is there begins with `mark`. Throws Error when it cannot be read.
bool begins_with(Disk& disk, const std::string& path, std::string_view mark);

// content: begins with `mark`. Throws Error where another file stands under the name, and as
// replace_file() does.
void replace_own_file(Disk& disk, const std::string& path, std::string_view mark,
                      std::string_view content);

}  // namespace mneme::io
