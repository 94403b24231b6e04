// The house's order: tools > engine > memory > offload > kernels > text > io. A folder may include
// itself and those to its right; CUDA appears only under kernels/cuda. Tests follow the folder they
// mirror; tests/cuda_emulator takes CUDA's place.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 7> kOrder = {"tools",   "engine", "memory", "offload",
                                                    "kernels", "text",   "io"};

// The store's parts stand alone: a file of one includes no other's, nor what joins them.
constexpr std::array<std::string_view, 4> kParts = {"offload/planner/", "offload/mover/",
                                                    "offload/disk/", "offload/ledger/"};
constexpr std::string_view kSharedByParts = "offload/moves.h";

bool is_of_another_part(std::string_view path, std::string_view header) {
  for (const std::string_view part : kParts) {
    if (!path.starts_with(part)) continue;
    return header.starts_with("offload/") && !header.starts_with(part) && header != kSharedByParts;
  }
  return false;
}

// Index in kOrder of the folder that a path from the root starts with; -1 for none.
int rank_of(std::string_view path) {
  const std::string_view folder = path.substr(0, path.find('/'));
  const auto found = std::find(kOrder.begin(), kOrder.end(), folder);
  return found == kOrder.end() ? -1 : static_cast<int>(found - kOrder.begin());
}

bool is_cuda_header(const std::string& header) {
  static const std::regex cuda(
      R"((cuda|cublas|cub/|nccl|nvtx|cooperative_groups|thrust/system/cuda).*)");
  return std::regex_match(header, cuda);
}

// What a file at `path` (from the root) with this content does wrong, one line each.
std::vector<std::string> violations(std::string path, const std::string& content) {
  std::vector<std::string> found;
  const std::string name = path;
  const bool is_test = path.starts_with("tests/");
  if (is_test) path = path.substr(6);
  const int rank = rank_of(path);
  static const std::regex include(R"(^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"])",
                                  std::regex::multiline);
  for (std::sregex_iterator it(content.begin(), content.end(), include), end; it != end; ++it) {
    const std::string header = (*it)[2];
    if (is_cuda_header(header) && !path.starts_with("kernels/cuda/") &&
        !name.starts_with("tests/cuda_emulator/")) {
      found.push_back(name + " includes the CUDA header " + header);
    }
    if ((*it)[1] != "\"") continue;
    const int other = rank_of(header);
    if (other >= 0 && rank >= 0 && other < rank) {
      found.push_back(name + " includes " + header + ", which is above it");
    }
    if (!is_test && is_of_another_part(path, header)) {
      found.push_back(name + " includes " + header + ", and is a part that stands alone");
    }
    if (other < 0 && !(is_test && header.starts_with("tests/"))) {
      found.push_back(name + " includes " + header + ", not by its path from the root");
    }
  }
  return found;
}

// Targets that a folder's CMake code links although they are above it.
std::vector<std::string> link_violations(const std::string& path, const std::string& content) {
  std::vector<std::string> found;
  static const std::regex target(R"(\bmneme_(tools|engine|memory|offload|kernels|text|io)\b)");
  for (std::sregex_iterator it(content.begin(), content.end(), target), end; it != end; ++it) {
    if (rank_of((*it)[1].str()) < rank_of(path)) {
      found.push_back(path + " names " + (*it)[0].str() + ", which is above it");
    }
  }
  return found;
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(IncludeOrder, EveryFileKeepsIt) {
  const fs::path root = MNEME_SOURCE_DIR;
  std::size_t files = 0;
  for (const std::string top :
       {"tools", "engine", "memory", "offload", "kernels", "text", "io", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension();
      const std::string path = fs::relative(entry.path(), root).generic_string();
      std::vector<std::string> wrong;
      if (extension == ".h" || extension == ".cpp" || extension == ".cu" || extension == ".cuh") {
        wrong = violations(path, text_of(entry.path()));
        ++files;
      } else if (top != "tests" && (extension == ".cmake" || path.ends_with("CMakeLists.txt"))) {
        wrong = link_violations(path, text_of(entry.path()));
      }
      for (const std::string& line : wrong) ADD_FAILURE() << line;
    }
  }
  EXPECT_GT(files, 50u);
}

TEST(IncludeOrder, BreachesAreFound) {
  EXPECT_EQ(violations("io/a.h", "#include \"kernels/b.h\"\n").size(), 1u);
  EXPECT_EQ(violations("text/a.h", "#include \"engine/b.h\"\n").size(), 1u);
  EXPECT_EQ(violations("offload/a.h", "// x\n  #  include \"engine/b.h\"\n").size(), 1u);
  EXPECT_EQ(violations("tests/memory/a.cpp", "#include \"engine/b.h\"\n").size(), 1u);
  EXPECT_EQ(violations("engine/a.h", "#include \"b.h\"\n").size(), 1u);
  EXPECT_EQ(violations("offload/a.cpp", "#include <cuda_runtime.h>\n").size(), 1u);
  EXPECT_EQ(violations("kernels/cpu/a.cpp", "#include <cub/cub.cuh>\n").size(), 1u);
  EXPECT_EQ(violations("offload/planner/a.h", "#include \"offload/mover/b.h\"\n").size(), 1u);
  EXPECT_EQ(violations("offload/disk/a.h", "#include \"offload/tiered_store.h\"\n").size(), 1u);
  EXPECT_EQ(link_violations("io/CMakeLists.txt", "target_link_libraries(a mneme_kernels)").size(),
            1u);
}

TEST(IncludeOrder, WhatIsAllowedPasses) {
  EXPECT_TRUE(violations("tools/a.h", "#include \"engine/b.h\"\n#include \"io/c.h\"\n").empty());
  EXPECT_TRUE(violations("io/a.h", "#include \"io/b.h\"\n#include <vector>\n").empty());
  EXPECT_TRUE(violations("kernels/cuda/a.cu", "#include <cuda_runtime.h>\n").empty());
  EXPECT_TRUE(violations("tests/memory/a.cpp", "#include \"tests/support/b.h\"\n").empty());
  EXPECT_TRUE(violations("offload/mover/a.h", "#include \"offload/moves.h\"\n").empty());
  EXPECT_TRUE(violations("offload/a.h", "#include \"offload/mover/b.h\"\n").empty());
  EXPECT_TRUE(link_violations("engine/CMakeLists.txt", "mneme_engine mneme_io").empty());
}

}  // namespace
