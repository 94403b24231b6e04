// Where host memory lies on a machine with several NUMA nodes. What a GPU reads over its bus comes
// faster from the node that the bus belongs to. Plain system calls: nothing here needs CUDA.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace mneme::kernels::cuda {

// The nodes that have processors, ascending. A node without any may be the memory of a GPU, which
// is no place for what should lie outside of it. Empty where the machine does not say.
std::vector<int> numa_nodes(const std::string& sysfs = "/sys");

// Which of them the PCI device, such as "0000:3B:00.0", is nearest to; none if it does not say.
std::optional<int> numa_node_near(std::string bus_id, const std::string& sysfs = "/sys");

// Pages of the memory that are touched from now on come from the node, or from others once it is
// full. Returns 0, or errno when that was refused, as in containers that may not place memory.
// REQUIRES: the memory starts at a page.
int prefer_numa_node(void* memory, std::size_t bytes, int node);

}  // namespace mneme::kernels::cuda
