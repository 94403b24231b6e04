#include "io/disk.h"

#include <filesystem>

namespace mneme::io {

std::string directory_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

void replace_file(Disk& disk, const std::string& path, std::span<const std::byte> content) {
  disk.write_file(path + kAsideSuffix, content);
  take_name(disk, path);
}

void take_name(Disk& disk, const std::string& path) {
  disk.rename(path + kAsideSuffix, path);
  disk.sync_directory(directory_of(path));
}

}  // namespace mneme::io
