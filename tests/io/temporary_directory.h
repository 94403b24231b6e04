// A directory that is gone after the test.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "io/error.h"

namespace mneme::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mneme_io_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) io::fail("{}: cannot make a directory", pattern);
    path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace mneme::test
