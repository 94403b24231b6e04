// Which NUMA node is near a device, as the kernel's files say, and that memory is placed there.
#include "kernels/cuda/numa_node.h"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/io/temporary_directory.h"

namespace mneme::kernels::cuda {
namespace {

class NumaNode : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = directory_.file(name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << '\n';
  }
  void nodes_are(const std::string& list) { write("devices/system/node/has_cpu", list); }
  void device_says(const std::string& node) {
    write("bus/pci/devices/0000:3b:00.0/numa_node", node);
  }
  std::optional<int> node() { return numa_node_near("0000:3B:00.0", directory_.path()); }

  test::TemporaryDirectory directory_;
};

TEST_F(NumaNode, NodesAreReadFromRanges) {
  EXPECT_TRUE(numa_nodes(directory_.path()).empty());
  const std::vector<std::pair<std::string, std::vector<int>>> lists = {
      {"0", {0}}, {"0-1", {0, 1}}, {"0,2-4,7", {0, 2, 3, 4, 7}}, {"", {}}, {"1-", {}}};
  for (const auto& [text, nodes] : lists) {
    nodes_are(text);
    EXPECT_EQ(numa_nodes(directory_.path()), nodes) << text;
  }
}

TEST_F(NumaNode, ADeviceIsNearTheNodeThatTheKernelNames) {
  nodes_are("0-1");
  device_says("1");
  EXPECT_EQ(node(), 1);
}

TEST_F(NumaNode, AMachineThatDoesNotSayNamesNone) {
  EXPECT_EQ(node(), std::nullopt) << "no such files";
  nodes_are("0-1");
  EXPECT_EQ(node(), std::nullopt) << "no such device";
  device_says("-1");
  EXPECT_EQ(node(), std::nullopt);
}

TEST_F(NumaNode, MemoryOfAGpuIsNoPlaceForHostMemory) {
  nodes_are("0-1");
  device_says("2");
  EXPECT_EQ(node(), std::nullopt) << "node 2 has no processors";
}

TEST_F(NumaNode, MemoryTakesThePolicyUnlessTheKernelRefuses) {
  constexpr std::size_t kBytes = std::size_t{1} << 20;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  EXPECT_EQ(prefer_numa_node(memory, kBytes, -1), EINVAL);
  EXPECT_EQ(prefer_numa_node(memory, kBytes, 1024), EINVAL);
  EXPECT_NE(prefer_numa_node(memory, kBytes, 1023), 0) << "no machine has that";
  if (prefer_numa_node(memory, kBytes, 0) == 0) {
    int mode = -1;
    unsigned long mask[16] = {};
    ASSERT_EQ(syscall(SYS_get_mempolicy, &mode, mask, 1024ul, memory, MPOL_F_ADDR), 0);
    EXPECT_EQ(mode, MPOL_PREFERRED);
    EXPECT_EQ(mask[0], 1ul);
  }
  static_cast<volatile char*>(memory)[kBytes - 1] = 1;
  munmap(memory, kBytes);
}

}  // namespace
}  // namespace mneme::kernels::cuda
