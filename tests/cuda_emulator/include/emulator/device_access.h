// Lets the host touch device memory for a while: around what the emulator cannot know to be device
// work, such as a Thrust algorithm that a GPU would run.
#pragma once

namespace emulator {

// While one exists, device memory is open and other operations of the device wait. May be nested.
// Kernels and copies take one themselves.
class device_access {
 public:
  device_access();
  ~device_access();
  device_access(const device_access&) = delete;
  device_access& operator=(const device_access&) = delete;
};

}  // namespace emulator
