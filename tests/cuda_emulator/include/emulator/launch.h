// cudaLaunchKernelEx: the one way to start a kernel.
#pragma once

#include <tuple>
#include <utility>

#include <emulator/runtime_types.h>

namespace emulator {

// A kernel and its arguments, whose types only call() knows.
struct Kernel {
  const void* function;
  const void* arguments;
  // Calls function with a copy of the arguments, once per thread of the grid.
  void (*call)(const void* function, const void* arguments);
};

// Checks the configuration as CUDA does and runs the grid to its end.
cudaError_t launch(const cudaLaunchConfig_t* config, const Kernel& kernel);

}  // namespace emulator

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "wrong number of arguments");
  const std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
  const auto call = [](const void* function, const void* packed) {
    const auto typed = reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(function));
    std::apply(typed, *static_cast<const std::tuple<Parameters...>*>(packed));
  };
  return emulator::launch(config, {reinterpret_cast<const void*>(kernel), &values, call});
}
