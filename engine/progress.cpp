#include "engine/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>

namespace mneme::engine {

ProgressOptions standard_error_progress(std::uint64_t every) {
  ProgressOptions options;
  options.every = every;
  options.terminal = isatty(STDERR_FILENO) == 1;
  winsize size{};
  if (options.terminal && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    options.columns = size.ws_col;
  }
  return options;
}

Progress::Progress(std::ostream& out, const ProgressOptions& options)
    : out_(out), options_(options) {
  if (options_.every == 0) options_.every = 1;
}

Progress::~Progress() {
  if (!shown_.empty()) out_ << '\n' << std::flush;
}

void Progress::update(std::uint64_t step, std::uint64_t steps, std::string_view text) {
  const bool must_show = step == 1 || step == steps;
  if (!options_.terminal) {
    if (must_show || step % options_.every == 0) out_ << text << '\n' << std::flush;
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  const double since = std::chrono::duration<double>(now - last_draw_).count();
  if (must_show || since >= options_.redraw_seconds) {
    last_draw_ = now;
    draw(text);
  }
}

void Progress::note(std::string_view text) {
  if (shown_.empty()) {
    out_ << text << '\n' << std::flush;
    return;
  }
  const std::string line = shown_;
  out_ << "\r\x1b[K" << text << '\n';
  draw(line);
}

void Progress::draw(std::string_view text) {
  // The last column stays free: a full line would wrap, and \r would then return to its second row.
  shown_ = text.substr(0, options_.columns > 1 ? options_.columns - 1 : 1);
  out_ << "\r\x1b[K" << shown_ << std::flush;
}

std::string human_bytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  const int decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f} {}", bytes, decimals, kUnits[unit]);
}

std::string human_seconds(double seconds) {
  const long long whole = std::llround(seconds);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

}  // namespace mneme::engine
