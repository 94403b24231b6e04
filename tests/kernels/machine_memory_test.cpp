// How much memory the limits of control groups leave.
#include "kernels/machine_memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "tests/io/temporary_directory.h"

namespace mneme::kernels {
namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

// What is given counts in place of what the machine says, less what the process holds already.
TEST(MachineMemory, MayBeGiven) {
  const std::size_t resident = resident_memory_bytes();
  ASSERT_GT(resident, 0u);
  ::setenv("MNEME_MACHINE_MEMORY", std::to_string(resident + (std::size_t{64} << 20)).c_str(), 1);
  EXPECT_LE(free_memory_bytes(), std::size_t{80} << 20);
  ::setenv("MNEME_MACHINE_MEMORY", "1", 1);
  EXPECT_EQ(free_memory_bytes(), 0u);
  ::unsetenv("MNEME_MACHINE_MEMORY");
  EXPECT_GT(free_memory_bytes(), 0u);
}

class Groups : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) {
    const std::filesystem::path path = mount_.file(name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::size_t free_bytes(const std::string& membership) const {
    return free_group_bytes(mount_.path(), membership);
  }

  test::TemporaryDirectory mount_;
};

TEST_F(Groups, TheLeastGenerousOfAGroupAndThoseAroundItCounts) {
  put("a/b/memory.max", "5000\n");
  put("a/b/memory.current", "1000\n");
  EXPECT_EQ(free_bytes("0::/a/b\n"), 4000u);
  put("a/memory.max", "3000\n");
  put("a/memory.current", "1500\n");
  EXPECT_EQ(free_bytes("0::/a/b\n"), 1500u);
  put("a/memory.stat", "anon 7\ninactive_file 500\n");
  EXPECT_EQ(free_bytes("0::/a/b\n"), 2000u) << "cached files make room";
  put("a/memory.max", "max\n");
  EXPECT_EQ(free_bytes("0::/a/b\n"), 4000u);
  put("memory.max", "800\n");
  put("memory.current", "900\n");
  EXPECT_EQ(free_bytes("0::/a/b\n"), 0u);
}

TEST_F(Groups, OfVersionOneAreKnownByTheirController) {
  put("memory/docker/memory.limit_in_bytes", "900\n");
  put("memory/docker/memory.usage_in_bytes", "300\n");
  put("memory/docker/memory.stat", "total_inactive_file 100\n");
  EXPECT_EQ(free_bytes("9:cpu,memory:/docker\n4:devices:/other\n"), 700u);
  EXPECT_EQ(free_bytes("9:cpu:/docker\n"), kNoLimit);
}

TEST_F(Groups, WithoutLimitsLeaveEverything) {
  EXPECT_EQ(free_bytes(""), kNoLimit);
  EXPECT_EQ(free_bytes("nonsense\n0::/\n"), kNoLimit);
}

}  // namespace
}  // namespace mneme::kernels
