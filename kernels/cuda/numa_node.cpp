#include "kernels/cuda/numa_node.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fstream>

namespace mneme::kernels::cuda {
namespace {

constexpr int kMostNodes = 1024;  // as the kernel is configured at most
constexpr int kWordBits = 8 * sizeof(unsigned long);

}  // namespace

std::vector<int> numa_nodes(const std::string& sysfs) {
  // Ranges, such as "0-1,4".
  std::ifstream file(sysfs + "/devices/system/node/has_cpu");
  std::vector<int> nodes;
  for (int first = 0; file >> first;) {
    int last = first;
    if (file.peek() == '-' && !(file.ignore() >> last)) break;
    for (int node = first; node <= std::min(last, kMostNodes - 1); ++node) nodes.push_back(node);
    if (file.peek() == ',') file.ignore();
  }
  return nodes;
}

std::optional<int> numa_node_near(std::string bus_id, const std::string& sysfs) {
  // CUDA writes capital letters, the kernel small ones.
  std::transform(bus_id.begin(), bus_id.end(), bus_id.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  std::ifstream file(sysfs + "/bus/pci/devices/" + bus_id + "/numa_node");
  int node = -1;
  if (!(file >> node)) return std::nullopt;
  const std::vector<int> nodes = numa_nodes(sysfs);
  if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) return std::nullopt;
  return node;
}

int prefer_numa_node(void* memory, std::size_t bytes, int node) {
  if (node < 0 || node >= kMostNodes) return EINVAL;
  unsigned long mask[kMostNodes / kWordBits] = {};
  mask[node / kWordBits] = 1ul << (node % kWordBits);
  // The kernel reads one bit less than it is told of.
  const long result = ::syscall(SYS_mbind, memory, bytes, MPOL_PREFERRED, mask, kMostNodes + 1, 0);
  return result == 0 ? 0 : errno;
}

}  // namespace mneme::kernels::cuda
