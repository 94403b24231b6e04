#include "engine/open_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "io/error.h"
#include "io/own_file.h"

namespace mneme::engine {
namespace {

constexpr std::string_view kMark = "# TYPE mneme_";

// A field of the books: its name, and what it is multiplied by. Base units, as the format wants.
struct Named {
  std::string name;
  double scale = 1;
};
Named counter_of(const offload::FieldInfo& info) {
  Named named{"mneme_" + std::string(info.name), 1};
  std::replace(named.name.begin(), named.name.end(), '.', '_');
  if (named.name.ends_with("_us")) {
    named.name.replace(named.name.size() - 3, 3, "_seconds");
    named.scale = 1e-6;
  }
  return named;
}

void add_metric(std::string& out, std::string_view name, std::string_view type,
                std::string_view help, double value) {
  const bool counts = type == "counter";
  fmt::format_to(std::back_inserter(out), "# TYPE {} {}\n# HELP {} {}\n{}{} {}\n", name, type, name,
                 help, name, counts ? "_total" : "", value);
}

}  // namespace

std::string open_metrics_path(const std::string& run_directory) {
  return run_directory + "/metrics.prom";
}

OpenMetricsFile::OpenMetricsFile(io::Disk& disk, const std::string& run_directory,
                                 std::int64_t tokens)
    : disk_(disk), path_(open_metrics_path(run_directory)), tokens_(tokens) {
  if (disk.exists(path_) && !io::begins_with(disk, path_, kMark)) {
    io::fail(
        "{}: there is a file that run.open_metrics has not written; move it, or set "
        "run.open_metrics to false",
        path_);
  }
}

void OpenMetricsFile::add(const StepMetrics& line) {
  ++steps_;
  step_seconds_ += 1e-3 * line.times.step_ms;
  books_ += line.books;
  last_ = line;
  is_written_ = false;
  const auto now = std::chrono::steady_clock::now();
  if (steps_ > 1 && now - written_ < std::chrono::seconds(1)) return;
  written_ = now;
  write();
}

void OpenMetricsFile::finish() {
  if (steps_ > 0 && !is_written_) write();
}

void OpenMetricsFile::write() {
  const std::string content = text();
  io::replace_file(disk_, path_, std::as_bytes(std::span(content)));
  is_written_ = true;
}

std::string OpenMetricsFile::text() const {
  std::string out;
  add_metric(out, "mneme_step", "gauge", "The last step that is complete.", double(last_.step));
  add_metric(out, "mneme_loss", "gauge", "Its loss, nats a token.", last_.loss);
  add_metric(out, "mneme_learning_rate", "gauge", "Its learning rate.", last_.learning_rate);
  add_metric(out, "mneme_tokens_per_second", "gauge", "Its speed.", last_.tokens_per_s);
  add_metric(out, "mneme_distinct_rows", "gauge", "Distinct rows that it updated.",
             double(last_.distinct_rows));
  if (last_.validation_loss) {
    add_metric(out, "mneme_validation_loss", "gauge", "Loss on the validation data, nats a token.",
               *last_.validation_loss);
  }
  add_metric(out, "mneme_steps", "counter", "Steps of this process.", double(steps_));
  add_metric(out, "mneme_tokens", "counter", "Tokens of these steps.",
             double(steps_) * double(tokens_));
  add_metric(out, "mneme_step_seconds", "counter", "Time of these steps.", step_seconds_);
  const offload::Entry all = books_.total();
  for (const offload::FieldInfo& info : offload::kFields) {
    const Named named = counter_of(info);
    add_metric(out, named.name, "counter", info.meaning,
               named.scale * static_cast<double>(all[info.field]));
  }
  return out + "# EOF\n";
}

}  // namespace mneme::engine
