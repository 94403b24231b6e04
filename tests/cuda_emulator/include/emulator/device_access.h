// Lets the host touch device memory for a while, as tests do that look into it.
#pragma once

namespace emulator {

// While one exists, device memory is open and other operations of the device wait: its owner may
// wait for no stream or event. May be nested. Kernels and copies take one themselves.
class device_access {
 public:
  device_access();
  ~device_access();
  device_access(const device_access&) = delete;
  device_access& operator=(const device_access&) = delete;
};

}  // namespace emulator
