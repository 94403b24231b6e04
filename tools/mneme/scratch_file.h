// A file that a benchmark writes and removes at the end, whatever the end is.
#pragma once

#include <filesystem>
#include <string>

#include "io/error.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

class ScratchFile {
 public:
  // Throws Error when the file is there and may not be reused.
  explicit ScratchFile(const BenchDiskOptions& options) : path_(options.path), keep_(options.keep) {
    if (!options.reuse && std::filesystem::exists(path_)) {
      io::fail("{}: is there already; --reuse overwrites it, --path names another file", path_);
    }
  }
  ~ScratchFile() {
    std::error_code ignored;  // the result matters more than a file that stayed
    if (!keep_) std::filesystem::remove(path_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

 private:
  std::string path_;
  bool keep_;
};

}  // namespace mneme::tools
