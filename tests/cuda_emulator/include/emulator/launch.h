// cudaLaunchKernelEx: the one way to start a kernel.
#pragma once

#include <functional>
#include <tuple>
#include <utility>

#include <emulator/runtime_types.h>

namespace emulator {

// Calls the kernel with a copy of the arguments: what every thread of the grid does.
using KernelThread = std::function<void()>;

// Checks the configuration as CUDA does and queues the grid. `kernel` is the function's address.
cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel, KernelThread thread);

}  // namespace emulator

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "wrong number of arguments");
  const std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
  return emulator::launch(config, reinterpret_cast<const void*>(kernel),
                          [kernel, values] { std::apply(kernel, values); });
}
