#include "io/disk.h"

#include <filesystem>

namespace mneme::io {

OpenOptions read_once_options() {
  OpenOptions options;
  options.read_only = true;
  options.direct = false;
  options.depth = 1;
  options.engine = IoEngine::kSync;
  return options;
}

std::uint64_t file_bytes(Disk& disk, const std::string& path) {
  return disk.exists(path) ? disk.open(path, read_once_options())->size_bytes() : 0;
}

std::string name_of_path(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

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
