#include "tools/report/own_file.h"

#include <fstream>
#include <span>

#include "io/error.h"

namespace mneme::report {

void replace_own_file(io::Disk& disk, const std::string& path, std::string_view mark,
                      std::string_view content) {
  if (disk.exists(path)) {
    std::string front(mark.size(), '\0');
    std::ifstream in(path, std::ios::binary);
    in.read(front.data(), static_cast<std::streamsize>(front.size()));
    if (!in || front != mark) {
      io::fail("{}: there is a file that no report is; move it, or name another folder", path);
    }
  }
  io::replace_file(disk, path, std::as_bytes(std::span(content)));
}

}  // namespace mneme::report
