#include "io/kill_point.h"

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/error.h"

namespace mneme::io {
namespace {

struct Target {
  std::string name;  // empty: none
  std::uint64_t passing = 0;
};

Target read_target() {
  const char* setting = std::getenv("MNEME_KILL_AT");
  if (setting == nullptr) return {};
  const std::string text = setting;
  const std::size_t colon = text.rfind(':');
  Target target;
  if (colon != std::string::npos && colon > 0) {
    target.name = text.substr(0, colon);
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + colon + 1, end, target.passing);
    if (parsed.ec == std::errc() && parsed.ptr == end && target.passing > 0) return target;
  }
  fail("MNEME_KILL_AT = \"{}\" is not NAME:N, such as step:3; unset it", text);
}

}  // namespace

void kill_point(const char* name) {
  static const Target target = read_target();
  if (target.name.empty()) return;
  static std::atomic<std::uint64_t> passings{0};
  if (target.name == name && ++passings == target.passing) std::raise(SIGKILL);
}

}  // namespace mneme::io
