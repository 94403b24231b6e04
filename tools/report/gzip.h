// Bytes as a gzip file.
#pragma once

#include <string>
#include <string_view>

namespace mneme::report {

// How every file of gzip_file() with that comment begins (io/own_file.h).
std::string gzip_mark(std::string_view comment);
// comment: stands in the file's header. Throws Error for want of memory.
std::string gzip_file(std::string_view content, std::string_view comment);

}  // namespace mneme::report
