// Always-on assertions: a failed CHECK is a bug in mneme, and aborts with its place and message.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace mneme::io {

// The optional message of a CHECK.
inline std::string check_message() {
  return {};
}
template <typename... Args>
std::string check_message(fmt::format_string<Args...> format, Args&&... args) {
  return fmt::format(format, std::forward<Args>(args)...);
}

// Prints the failed condition and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               std::string_view message);

}  // namespace mneme::io

// CHECK(condition) or CHECK(condition, "format {}", argument...).
#define CHECK(condition, ...)                                             \
  do {                                                                    \
    if (!(condition)) [[unlikely]]                                        \
      ::mneme::io::check_failed(__FILE__, __LINE__, #condition,           \
                                ::mneme::io::check_message(__VA_ARGS__)); \
  } while (false)
