// Where memory that a copy, a fill or cuBLAS is given lies.
#pragma once

#include <cstddef>

namespace emulator {

enum class Place { kDevice, kPinned, kPageable };

// Aborts, naming the operation and the argument, when [pointer, pointer + bytes) leaves the
// allocation that holds the pointer, or is device memory that is not allocated.
Place place_of(const char* operation, const char* argument, const void* pointer, std::size_t bytes);

}  // namespace emulator
