// metrics.jsonl of a run: one JSON object a training step, on disk before the next step starts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/expert_counts.h"
#include "engine/manifest.h"
#include "engine/prefetch/prediction_metrics.h"
#include "io/disk.h"
#include "offload/disk/disk_latency.h"
#include "offload/ledger/books.h"

namespace mneme::engine {

// Where the time went since the line before, in milliseconds. Forward, backward and update are the
// stream's own, without the time that it stood still for rows: that is stall, and by what was
// waited for in the books. The others are the host's. step is the step alone, without what came
// behind it.
struct StepTimes {
  double step_ms = 0;
  double data_ms = 0;
  double forward_ms = 0;
  double predict_ms = 0;  // between them, that the stream stood still while hints were made
  double backward_ms = 0;
  double update_ms = 0;
  double stall_ms = 0;
  double evaluation_ms = 0;
  double sample_ms = 0;
  double checkpoint_ms = 0;
};

struct StepMetrics {
  std::uint64_t step = 0;  // 1 for the first
  double loss = 0;         // mean over the step's tokens, nats
  double learning_rate = 0;
  double value_learning_rate = 0;
  double tokens_per_s = 0;  // of the step alone
  StepTimes times;
  std::int64_t distinct_rows = 0;
  double dense_gradient_norm = 0;                   // before clipping
  double row_gradient_norm = 0;                     // before clipping
  offload::Books books;                             // since the line before: docs/metrics.md
  offload::DiskLatencies disk_latencies = {};       // of transfers since the line before
  std::vector<PredictionMetrics> predictions = {};  // of the step, where rows were predicted
  std::vector<ExpertCounts> experts = {};           // of the step, of each mixture
  std::optional<double> validation_loss;

  // Rows that came into device memory for training, each as often as it came, as a share of the
  // step's distinct rows; 0 without rows.
  double fetched_share() const;
  // Of the step's time, what it stood still for rows.
  double stall_share() const { return times.step_ms > 0 ? times.stall_ms / times.step_ms : 0; }
};

// One line of metrics.jsonl, without the line's end. Numbers that are not finite become null.
std::string metrics_line(const StepMetrics& metrics);

// The mark of a metrics file whose lines, each with its end, are added in order.
MetricsMark extend_mark(const MetricsMark& mark, std::string_view line);

// The whole lines of a metrics file; 0 where there is none.
std::uint64_t count_metrics(const io::Disk& disk, const std::string& path);

// What stands in a metrics file up to `mark`, as far as it is there.
enum class MetricsState {
  kIntact,
  kChanged,  // lines are missing or other than they were
};
// Throws Error when the file cannot be read; a missing one is empty.
MetricsState check_metrics(const io::Disk& disk, const std::string& path, const MetricsMark& mark);

class MetricsWriter {
 public:
  // Opens the file for appending behind the lines that `mark` covers, those of the steps up to
  // completed_steps; what follows them is cut off. Where they are not as they were, a warning says
  // so, and the lines that are whole and of those steps are kept, the file being replaced. Throws
  // Error naming path.
  MetricsWriter(io::Disk& disk, const std::string& path, const MetricsMark& mark,
                std::uint64_t completed_steps);

  // Appends a line and hands it to the system. Throws Error naming path, as on a full disk.
  void write(const StepMetrics& metrics);
  // The mark of all lines. A line that could not be written is tried once more, and left out with a
  // warning where that fails, too: the step itself can still be saved.
  MetricsMark mark();
  // Makes every line durable. From any thread.
  void make_durable() { file_->sync(); }
  // Whether the last write() failed, and mark() has a line to try again.
  bool has_unwritten_line() const { return !unwritten_.empty(); }

 private:
  void write_once_more(const std::string& line);

  io::Disk& disk_;
  std::string path_;
  std::unique_ptr<io::AppendFile> file_;
  MetricsMark mark_;
  std::string unwritten_;  // a line, with its end
};

}  // namespace mneme::engine
