// Progress of long work for people: what goes on, how far it is, and how long it will still take.
//
// Whoever works long says so with a Phase, wherever in the program that is; a command makes the
// one ProgressDisplay that shows it, on standard error. Without a display, as in a program that
// embeds the libraries, phases cost next to nothing and nothing is printed. On a terminal one line
// rewrites itself and never wraps; elsewhere plain lines come at a moderate rate, and none for work
// that is soon over.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace mneme::io {

// A part of a line. Where the line is too long, the fields of the highest `rank` go first, each as
// a whole.
struct ProgressField {
  std::string text;
  int rank = 0;
  bool is_close = false;  // one space in front of it instead of two
};

// The fields that fit, in order; empty when not even one does.
std::string fit_fields(std::span<const ProgressField> fields, std::size_t columns);

struct ProgressOptions {
  bool terminal = false;                  // rewrite one line; otherwise plain lines
  std::function<std::size_t()> columns;   // of the terminal, asked before each drawing; none: 80
  double redraw_seconds = 0.1;            // on a terminal: least time between two drawings
  double quiet_seconds = 0.5;             // on a terminal: work that is over by then is not shown
  double line_seconds = 10;               // elsewhere: between lines of phases
  bool has_thread = true;                 // calls tick() by itself while there is a phase
  std::function<double()> clock_seconds;  // the system's steady clock unless given
};

// Options that fit the process's standard error.
ProgressOptions standard_error_progress();

class Phase;

// The phases of the thread that has made it are shown while it lives. At most one a thread.
class ProgressDisplay {
 public:
  // `out` must outlive the object, and nobody else may write to it meanwhile.
  ProgressDisplay(std::ostream& out, ProgressOptions options);
  // Ends the line that is being rewritten. REQUIRES: there is no phase any more.
  ~ProgressDisplay();
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  // What stands on the line while there is no phase to show, such as the step of a training run.
  // Elsewhere than on a terminal it is printed where `is_due`, or when nothing was for a minute.
  void show(std::vector<ProgressField> fields, bool is_due);
  // What stands on the line stays there, and what follows comes below it.
  void end_line();
  // Prints a line that stays.
  void note(std::string_view text);
  // Draws the innermost phase once it is time.
  void tick();

 private:
  friend class Phase;
  friend void print_beside_progress(const std::function<void()>& print);

  void begin(Phase& phase);
  void end(const Phase& phase);
  void run_thread();
  void tick_locked();
  void draw(std::string line);
  void erase();
  double now() const;
  std::size_t columns() const;

  std::ostream& out_;
  ProgressOptions options_;
  std::mutex mutex_;
  std::vector<const Phase*> phases_;  // the innermost one is the last
  std::vector<ProgressField> fields_;
  bool is_fresh_ = false;  // fields_ have not been drawn as they are now
  std::string drawn_;      // on the terminal's line; empty when there is none
  double last_drawn_ = -1e9;
  double last_said_ = 0;  // of everything but phases
  double last_line_ = 0;
  std::condition_variable wake_;
  bool is_over_ = false;
  std::thread thread_;
};

// Runs `print`, which writes lines to standard error, so that they and the line of this thread's
// display do not run into each other.
void print_beside_progress(const std::function<void()>& print);

// A stretch of work, from construction to destruction. Phases nest: what is shown is how far the
// innermost has come, behind the names of those around it ("saving step 100, rows: 45%").
class Phase {
 public:
  // what: "reading data.txt". total: how much there is to do, 0 where nobody knows. noun: what is
  // counted ("rows"); bytes unless given. Costs a lock; reach() and add() cost next to nothing.
  explicit Phase(std::string what, std::uint64_t total = 0, std::string_view noun = {});
  ~Phase();
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;

  // So much of the total is done. For one thread.
  void reach(std::uint64_t done) { done_.store(done, std::memory_order_relaxed); }
  void add(std::uint64_t more) { reach(done_.load(std::memory_order_relaxed) + more); }

  // How far it is, as of `seconds` after its start.
  std::vector<ProgressField> fields(double seconds) const;

 private:
  friend class ProgressDisplay;

  std::string what_;
  std::uint64_t total_;
  std::string noun_;
  std::atomic<std::uint64_t> done_{0};
  ProgressDisplay* display_ = nullptr;  // that knows of it
  double start_ = 0;
};

}  // namespace mneme::io
