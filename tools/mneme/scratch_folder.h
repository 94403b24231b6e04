// A new folder for the files of a benchmark, which goes with all of them at the end. Its name is
// one that nobody has: what a killed benchmark left behind stays and is never touched again.
#pragma once

#include <string>
#include <vector>

namespace mneme::tools {

class ScratchFolder {
 public:
  // Makes PREFIX-xxxxxx and the folders above it that are missing. Throws Error.
  explicit ScratchFolder(const std::string& prefix);
  // Removes what it made: the folder, and those above it where nothing else has come.
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::vector<std::string> parents_;  // that it made, the innermost first
};

}  // namespace mneme::tools
