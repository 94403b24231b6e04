// The one exception type of the project.
//
// Bad input, full disks, dead devices and every other condition that is not a bug in this program
// throws Error. Its text is one line that says what happened, where, and what the user can do.
// Bugs abort through CHECK (check.h).
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace mneme::io {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// Throws Error with a message formatted as by fmt::format.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace mneme::io
