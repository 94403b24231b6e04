// Where the golden files are: in MNEME_GOLDEN_DIR or with the project's tests.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace mneme::test {

inline std::string golden_directory() {
  const char* directory = std::getenv("MNEME_GOLDEN_DIR");
  return directory != nullptr ? directory : MNEME_GOLDEN_DIR_DEFAULT;
}

// Paths of <prefix>*.safetensors, sorted. Of no kind are there a certain number; that there are any
// is a test of its own wherever they are used, since a directory that cannot be read has none.
inline std::vector<std::string> golden_files(const std::string& prefix) {
  std::vector<std::string> paths;
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(golden_directory(), unreadable)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && entry.path().extension() == ".safetensors") {
      paths.push_back(entry.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// A file's name as a test's name.
inline std::string golden_test_name(const std::string& path) {
  std::string name = std::filesystem::path(path).stem().string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

}  // namespace mneme::test
