#include "io/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <system_error>
#include <utility>

#include "io/check.h"
#include "io/human.h"

namespace mneme::io {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr double kMostSilence = 60;  // of a run whose steps are long
constexpr int kRankOfPhasesAround = 4;
constexpr double kLeastForEstimate = 1;  // seconds of work from which the rest is estimated

thread_local ProgressDisplay* current_display = nullptr;

std::size_t terminal_columns() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// No fewer columns than a terminal gives the text: characters of three and four bytes may be wide.
std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (byte < 0x80 || byte >= 0xc0) columns += byte >= 0xe0 ? 2 : 1;
  }
  return columns;
}

std::string join(std::span<const ProgressField> fields, int below_rank) {
  std::string line;
  for (const ProgressField& field : fields) {
    if (field.rank >= below_rank || field.text.empty()) continue;
    if (!line.empty()) line += field.is_close ? " " : "  ";
    line += field.text;
  }
  return line;
}

std::string count_text(std::uint64_t count, const std::string& noun) {
  return noun.empty() ? human_bytes(static_cast<double>(count)) : fmt::format("{}", count);
}

}  // namespace

std::string fit_fields(std::span<const ProgressField> fields, std::size_t columns) {
  int highest = 0;
  for (const ProgressField& field : fields) highest = std::max(highest, field.rank);
  for (int below = highest + 1; below > 0; --below) {
    std::string line = join(fields, below);
    if (columns_of(line) <= columns) return line;
  }
  return {};
}

ProgressOptions standard_error_progress() {
  ProgressOptions options;
  options.terminal = isatty(STDERR_FILENO) == 1;
  options.columns = terminal_columns;
  return options;
}

ProgressDisplay::ProgressDisplay(std::ostream& out, ProgressOptions options)
    : out_(out), options_(std::move(options)) {
  last_said_ = last_line_ = now();
  CHECK(std::exchange(current_display, this) == nullptr, "one ProgressDisplay a thread");
}

ProgressDisplay::~ProgressDisplay() {
  current_display = nullptr;
  {
    const std::lock_guard lock(mutex_);
    CHECK(phases_.empty());
    is_over_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  end_line();
}

void ProgressDisplay::end_line() {
  const std::lock_guard lock(mutex_);
  if (!options_.terminal) return;
  if (is_fresh_) draw(fit_fields(fields_, columns()));
  if (!std::exchange(drawn_, {}).empty()) out_ << '\n' << std::flush;
  fields_.clear();
  is_fresh_ = false;
}

double ProgressDisplay::now() const {
  return options_.clock_seconds ? options_.clock_seconds() : steady_seconds();
}

// The last column stays free: a full line would wrap, and \r would then return to its second row.
std::size_t ProgressDisplay::columns() const {
  const std::size_t all = options_.columns ? options_.columns() : 80;
  return all > 1 ? all - 1 : 1;
}

void ProgressDisplay::show(std::vector<ProgressField> fields, bool is_due) {
  const std::lock_guard lock(mutex_);
  fields_ = std::move(fields);
  const double time = now();
  last_said_ = time;
  if (!options_.terminal) {
    if (!is_due && time - last_line_ < kMostSilence) return;
    last_line_ = time;
    out_ << fit_fields(fields_, std::string::npos) << '\n' << std::flush;
    return;
  }
  is_fresh_ = true;
  if (time - last_drawn_ < options_.redraw_seconds) return;
  is_fresh_ = false;
  draw(fit_fields(fields_, columns()));
}

void ProgressDisplay::note(std::string_view text) {
  const std::lock_guard lock(mutex_);
  last_said_ = last_line_ = now();
  const std::string line = drawn_;
  erase();
  out_ << text << '\n' << std::flush;
  if (!line.empty()) draw(line);
}

void ProgressDisplay::tick() {
  const std::lock_guard lock(mutex_);
  tick_locked();
}

void ProgressDisplay::tick_locked() {
  if (phases_.empty()) return;
  const Phase& phase = *phases_.back();
  const double time = now();
  std::vector<ProgressField> fields;
  for (const Phase* around : phases_) {
    if (around != &phase) fields.push_back({around->what_ + ",", kRankOfPhasesAround, true});
  }
  std::ranges::copy(phase.fields(time - phase.start_), std::back_inserter(fields));
  if (options_.terminal) {
    if (time - last_said_ >= options_.quiet_seconds) draw(fit_fields(fields, columns()));
  } else if (time - last_line_ >= options_.line_seconds) {
    last_line_ = time;
    out_ << fit_fields(fields, std::string::npos) << '\n' << std::flush;
  }
}

void ProgressDisplay::draw(std::string line) {
  last_drawn_ = now();
  if (line == drawn_) return;
  out_ << "\r\x1b[K" << line << std::flush;
  drawn_ = std::move(line);
}

void ProgressDisplay::erase() {
  if (!std::exchange(drawn_, {}).empty()) out_ << "\r\x1b[K" << std::flush;
}

void ProgressDisplay::begin(Phase& phase) {
  const std::lock_guard lock(mutex_);
  phase.start_ = now();
  phases_.push_back(&phase);
  if (options_.has_thread && !thread_.joinable()) {
    try {
      thread_ = std::thread([this] { run_thread(); });
    } catch (const std::system_error&) {
      options_.has_thread = false;  // the work itself goes on
    }
  }
  wake_.notify_one();
}

void ProgressDisplay::end(const Phase& phase) {
  const std::lock_guard lock(mutex_);
  CHECK(!phases_.empty() && phases_.back() == &phase, "phases end in the order of a stack");
  phases_.pop_back();
  if (!phases_.empty() || drawn_.empty()) return;
  // What stood on the line before, which is nothing at first.
  is_fresh_ = false;
  const std::string line = fit_fields(fields_, columns());
  if (line.empty()) {
    erase();
  } else {
    draw(line);
  }
}

void ProgressDisplay::run_thread() {
  std::unique_lock lock(mutex_);
  while (!is_over_) {
    if (phases_.empty()) {
      wake_.wait(lock);
      continue;
    }
    tick_locked();
    wake_.wait_for(lock, kTick);
  }
}

void print_beside_progress(const std::function<void()>& print) {
  ProgressDisplay* const display = current_display;
  if (display == nullptr) return print();
  const std::lock_guard lock(display->mutex_);
  display->last_said_ = display->last_line_ = display->now();
  const std::string line = display->drawn_;
  display->erase();
  print();
  if (!line.empty()) display->draw(line);
}

Phase::Phase(std::string what, std::uint64_t total, std::string_view noun)
    : what_(std::move(what)), total_(total), noun_(noun) {
  display_ = current_display;
  if (display_ != nullptr) display_->begin(*this);
}

Phase::~Phase() {
  if (display_ != nullptr) display_->end(*this);
}

std::vector<ProgressField> Phase::fields(double seconds) const {
  const std::uint64_t done = done_.load(std::memory_order_relaxed);
  std::vector<ProgressField> fields = {{what_ + ":", 1, true}};
  if (total_ == 0) {
    if (done > 0) {
      fields.push_back({count_text(done, noun_) + (noun_.empty() ? "" : " " + noun_), 2, true});
    }
    fields.push_back({human_seconds(seconds) + " so far", 0, done == 0});
    return fields;
  }
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  fields.push_back({fmt::format("{:.0f}%", std::floor(100 * share)), 0, true});
  fields.push_back({fmt::format("{} of {}{}", count_text(done, noun_), count_text(total_, noun_),
                                noun_.empty() ? "" : " " + noun_),
                    3});
  if (seconds >= kLeastForEstimate && share > 0) {
    fields.push_back({human_seconds(seconds * (1 - share) / share) + " left", 2});
  } else if (seconds >= kLeastForEstimate) {
    fields.push_back({human_seconds(seconds) + " so far", 2});
  }
  return fields;
}

}  // namespace mneme::io
