// Log lines for people: warnings and progress go to standard error, never to standard output.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace mneme::io {

void log_info(std::string_view message);
void log_warning(std::string_view message);

template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  log_info(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  log_warning(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace mneme::io
