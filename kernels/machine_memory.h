// How much memory the process may still take.
#pragma once

#include <cstddef>

namespace mneme::kernels {

// Bytes that the machine could hand out now without swapping, or what is left of the control
// group's limit when that is less.
std::size_t free_memory_bytes();

// Bytes that the process holds in memory now.
std::size_t resident_memory_bytes();

}  // namespace mneme::kernels
