#include "engine/run_config_file.h"

#include <fmt/format.h>

#include <charconv>

#include "io/checksum.h"

namespace mneme::engine {
namespace {

constexpr std::string_view kStart = "# mneme run ";
constexpr std::size_t kIdDigits = 16;

}  // namespace

std::string run_config_text(std::uint64_t run_id, std::string_view config) {
  return fmt::format("{}{:016x}, checksum {:016x}; change keys with --set, not in this file\n{}",
                     kStart, run_id, io::checksum64(config), config);
}

std::optional<std::uint64_t> run_of_config_text(std::string_view text) {
  const std::size_t line_end = text.find('\n');
  if (!text.starts_with(kStart) || line_end == std::string_view::npos) return {};
  std::uint64_t id = 0;
  const char* digits = text.data() + kStart.size();
  if (text.size() < kStart.size() + kIdDigits) return {};
  const auto [end, error] = std::from_chars(digits, digits + kIdDigits, id, 16);
  if (error != std::errc() || end != digits + kIdDigits) return {};
  // Written once more, it must be the same.
  if (run_config_text(id, text.substr(line_end + 1)) != text) return {};
  return id;
}

}  // namespace mneme::engine
