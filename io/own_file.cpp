#include "io/own_file.h"

#include <span>

#include "io/error.h"
#include "io/sequential_file.h"

namespace mneme::io {

bool begins_with(Disk& disk, const std::string& path, std::string_view mark) {
  SequentialReader reader(disk, path);
  if (reader.size_bytes() < mark.size()) return false;
  std::string front(mark.size(), '\0');
  reader.read(std::as_writable_bytes(std::span(front)));
  return front == mark;
}

void replace_own_file(Disk& disk, const std::string& path, std::string_view mark,
                      std::string_view content) {
  if (disk.exists(path) && !begins_with(disk, path, mark)) {
    fail("{}: there is a file that no report is; move it, or name another folder", path);
  }
  replace_file(disk, path, std::as_bytes(std::span(content)));
}

}  // namespace mneme::io
