// How much memory the process may still take.
#pragma once

#include <cstddef>
#include <string>

namespace mneme::kernels {

// Bytes that the machine could hand out now without swapping, or what is left of the limits of the
// process's control groups when that is less. Where MNEME_MACHINE_MEMORY is set, to so many bytes
// that the process may hold, what is left of these takes the place of what the machine says: one
// whose memory grows with its use says too little.
std::size_t free_memory_bytes();

// What the least generous control group may still take, of version 1 or 2; the most that there is
// without a limit. mount: where the groups are mounted, /sys/fs/cgroup. membership: what
// /proc/self/cgroup says.
std::size_t free_group_bytes(const std::string& mount, const std::string& membership);

// Bytes that the process holds in memory now.
std::size_t resident_memory_bytes();

}  // namespace mneme::kernels
