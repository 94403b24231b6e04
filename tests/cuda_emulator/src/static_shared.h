// How many bytes of static __shared__ variables a kernel has, which count against what a block may
// have at most.
//
// They are thread-locals (language.h), and their symbols in the program say whose they are and how
// large. Those of functions that a kernel calls are not counted: symbols do not say who calls whom.
#pragma once

#include <cstddef>

namespace emulator {

// 0 for a kernel of a program without symbols.
std::size_t static_shared_bytes(const void* kernel);

}  // namespace emulator
