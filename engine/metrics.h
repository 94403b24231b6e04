// metrics.jsonl of a run: one JSON object a training step, on disk before the next step starts.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "offload/counters.h"

namespace mneme::engine {

// Where the time of a step went, in milliseconds. acquire_stall and write_back_wait are the host's
// own waits for rows, by its clock (offload/counters.h), within forward, backward and update.
struct StepTimes {
  double step_ms = 0;
  double data_ms = 0;
  double forward_ms = 0;
  double backward_ms = 0;
  double update_ms = 0;
  double acquire_stall_ms = 0;
  double write_back_wait_ms = 0;
};

struct StepMetrics {
  std::uint64_t step = 0;  // 1 for the first
  double loss = 0;         // mean over the step's tokens, nats
  double learning_rate = 0;
  double value_learning_rate = 0;
  double tokens_per_s = 0;
  StepTimes times;
  std::int64_t distinct_rows = 0;
  double dense_gradient_norm = 0;  // before clipping
  double row_gradient_norm = 0;    // before clipping
  offload::StepCounters rows;      // of this step
  std::optional<double> validation_loss;
};

// One line of metrics.jsonl, without the line's end. Numbers that are not finite become null.
std::string metrics_line(const StepMetrics& metrics);

class MetricsWriter {
 public:
  // Opens the file for appending after the lines of steps 1 .. completed_steps; lines of later
  // steps, and a line torn by a crash, are dropped (atomically: the file is rewritten aside and
  // renamed). Throws Error naming path.
  MetricsWriter(const std::string& path, std::uint64_t completed_steps);

  // Appends a line and hands it to the system. Throws Error naming path, as on a full disk.
  void write(const StepMetrics& metrics);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace mneme::engine
