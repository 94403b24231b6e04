// Calls of the system that a signal has interrupted are made again: programs get signals (a
// terminal that changes its size, a debugger, a timer of a library), and none of them is an error.
#pragma once

#include <cerrno>
#include <system_error>
#include <utility>

namespace mneme::io {

// Makes a call that returns a negative number and sets errno when it fails, until it is not
// interrupted; its last result. `call` is made again with the same arguments.
template <typename Call>
auto retry_interrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// The same for the functions of std::filesystem: `call` gets the std::error_code to set.
template <typename Call>
auto retry_interrupted(std::error_code& error, Call call) {
  auto result = call(error);
  while (error == std::errc::interrupted) result = call(error);
  return result;
}

}  // namespace mneme::io
