// Progress of long work for people: one line that rewrites itself on a terminal, plain lines
// elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

namespace mneme::engine {

struct ProgressOptions {
  bool terminal = false;       // rewrite one line; otherwise plain lines
  std::size_t columns = 80;    // of the terminal; longer lines are cut
  std::uint64_t every = 1;     // without a terminal: steps between lines
  double redraw_seconds = .1;  // on a terminal: least time between redraws
};

// Options that fit the process's standard error.
ProgressOptions standard_error_progress(std::uint64_t every);

class Progress {
 public:
  // `out` must outlive the object.
  Progress(std::ostream& out, const ProgressOptions& options);
  // Ends a line that is still being rewritten.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Shows where step `step` of `steps` (1 for the first) stands. The first and the last step are
  // always shown.
  void update(std::uint64_t step, std::uint64_t steps, std::string_view text);
  // Prints a line that stays, above the one being rewritten.
  void note(std::string_view text);

 private:
  void draw(std::string_view text);

  std::ostream& out_;
  ProgressOptions options_;
  std::string shown_;  // the text of the line being rewritten; empty when there is none
  std::chrono::steady_clock::time_point last_draw_{};
};

// "1.5 GiB", "12 KiB", "812 B": three digits at most, for people.
std::string human_bytes(double bytes);
// "1h02m", "3m20s", "42s".
std::string human_seconds(double seconds);

}  // namespace mneme::engine
