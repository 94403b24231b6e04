// Helpers of the emulator's tests: checked calls, launches and device arrays.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace emulator_test {

inline void check(cudaError_t error) {
  ASSERT_EQ(error, cudaSuccess) << cudaGetErrorString(error);
}

// An array in device memory.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    check(cudaMalloc(&data_, count * sizeof(T)));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    check(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { check(cudaFree(data_)); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::vector<T> values() const {
    std::vector<T> copy(count_);
    check(cudaMemcpy(copy.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return copy;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

// For death tests: they start a process of their own, as this one has threads by now.
inline void start_new_processes() {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
}

struct Grid {
  Grid(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream = nullptr) {
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
  }
  cudaLaunchConfig_t config{};
};

template <typename... Parameters, typename... Arguments>
cudaError_t launch(const Grid& grid, void (*kernel)(Parameters...), Arguments&&... arguments) {
  return cudaLaunchKernelEx(&grid.config, kernel, std::forward<Arguments>(arguments)...);
}
// On the default stream.
template <typename... Parameters, typename... Arguments>
cudaError_t launch(dim3 grid, dim3 block, std::size_t shared_bytes, void (*kernel)(Parameters...),
                   Arguments&&... arguments) {
  return launch(Grid(grid, block, shared_bytes), kernel, std::forward<Arguments>(arguments)...);
}
// Launches and waits.
template <typename... Arguments>
cudaError_t run(Arguments&&... arguments) {
  const cudaError_t error = launch(std::forward<Arguments>(arguments)...);
  return error != cudaSuccess ? error : cudaDeviceSynchronize();
}

}  // namespace emulator_test
