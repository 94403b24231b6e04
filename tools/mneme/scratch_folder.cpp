#include "tools/mneme/scratch_folder.h"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "io/disk.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/log.h"

namespace mneme::tools {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> missing_folders_above(const std::string& path) {
  std::vector<std::string> missing;
  std::error_code error;
  for (fs::path folder = fs::path(path).parent_path();
       !folder.empty() && !fs::exists(folder, error) && !error; folder = folder.parent_path()) {
    missing.push_back(folder.string());
  }
  return missing;
}

}  // namespace

ScratchFolder::ScratchFolder(const std::string& prefix)
    : path_(prefix + "-XXXXXX"), parents_(missing_folders_above(path_)) {
  if (!parents_.empty()) io::make_posix_disk()->make_directories(parents_.front());
  if (::mkdtemp(path_.data()) == nullptr) {
    io::fail("{}: cannot make the folder: {}", path_, io::errno_text(errno));
  }
}

ScratchFolder::~ScratchFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
  // The result matters more than a folder that stayed.
  if (error) io::warn("{}: cannot remove it: {}", path_, io::errno_text(error.value()));
  for (const std::string& parent : parents_) {
    if (::rmdir(parent.c_str()) != 0) break;  // somebody uses it by now
  }
}

}  // namespace mneme::tools
