// Where a run is, for monitors: metrics.prom in the run's folder, in OpenMetrics text format, for
// node_exporter's textfile collector. Counters start with the process.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "engine/metrics.h"
#include "io/disk.h"

namespace mneme::engine {

std::string open_metrics_path(const std::string& run_directory);

class OpenMetricsFile {
 public:
  // tokens: of a step. Throws Error where something stands under the name that is no such file.
  OpenMetricsFile(io::Disk& disk, const std::string& run_directory, std::int64_t tokens);

  // A step's line was written. Replaces the file, as a whole, where the last time was a second ago.
  void add(const StepMetrics& line);
  // Replaces it once more.
  void finish();
  std::string text() const;

 private:
  void write();

  io::Disk& disk_;
  std::string path_;
  std::int64_t tokens_;
  std::uint64_t steps_ = 0;
  double step_seconds_ = 0;
  StepMetrics last_;
  offload::Books books_;  // of all lines
  std::chrono::steady_clock::time_point written_{};
  bool is_written_ = false;  // what is known now
};

}  // namespace mneme::engine
