// Numbers in the words of reports.
#pragma once

#include <fmt/format.h>

#include <string>

#include "io/human.h"

namespace mneme::report {

inline std::string percent(double share, int digits = 1) {
  std::string text = fmt::format("{:.{}f}%", 100 * share, digits);
  // No "-0.0%".
  const bool is_zero = text.find_first_of("123456789") == std::string::npos;
  return is_zero && text.front() == '-' ? text.substr(1) : text;
}

// Nothing where it is not known.
inline std::string rate(double bytes_per_s) {
  return bytes_per_s > 0 ? io::human_bytes(bytes_per_s) + "/s" : std::string();
}

}  // namespace mneme::report
