#include "tests/cuda_emulator/src/memory_places.h"

#include "tests/cuda_emulator/src/device_memory.h"
#include "tests/cuda_emulator/src/pinned_memory.h"
#include "tests/cuda_emulator/src/report.h"

namespace emulator {

Place place_of(const char* operation, const char* argument, const void* pointer,
               std::size_t bytes) {
  const auto* begin = static_cast<const unsigned char*>(pointer);
  DeviceMemory& device = DeviceMemory::instance();
  unsigned char* allocated = nullptr;
  std::size_t allocated_bytes = 0;
  Place place = Place::kDevice;
  if (device.contains(pointer)) {
    const DeviceMemory::Range range = device.allocation_of(pointer);
    if (range.bytes == 0) {
      die("%s: the %s %p is device memory that is not allocated", operation, argument, pointer);
    }
    allocated = range.begin;
    allocated_bytes = range.bytes;
  } else {
    const PinnedMemory::Range range = PinnedMemory::instance().range_of(pointer);
    if (range.bytes == 0) return Place::kPageable;
    allocated = range.begin;
    allocated_bytes = range.bytes;
    place = Place::kPinned;
  }
  const std::size_t room = allocated_bytes - static_cast<std::size_t>(begin - allocated);
  if (bytes > room) {
    die("%s: the %s has %zu bytes from there to the end of its allocation; %zu are asked for",
        operation, argument, room, bytes);
  }
  return place;
}

}  // namespace emulator
