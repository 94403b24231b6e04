#include "engine/step_line.h"

#include <fmt/format.h>

#include "io/human.h"

namespace mneme::engine {
namespace {

std::string share_text(const char* from, std::uint64_t part, std::int64_t whole) {
  return fmt::format("{} {:.0f}%", from, whole == 0 ? 0.0 : 100.0 * double(part) / double(whole));
}

}  // namespace

void RunPace::note(double seconds) {
  times_.push_back(seconds);
  if (times_.size() > kMost) times_.pop_front();
}

std::optional<double> RunPace::seconds_for(std::uint64_t steps) const {
  if (times_.size() < 2) return {};
  return (times_.back() - times_.front()) / double(times_.size() - 1) * double(steps);
}

std::vector<io::ProgressField> step_fields(const StepMetrics& metrics, std::uint64_t steps,
                                           std::optional<double> seconds_left, bool has_rows) {
  std::vector<io::ProgressField> fields = {
      {fmt::format("step {}/{}", metrics.step, steps), 0},
      {fmt::format("loss {:.4f}", metrics.loss), 1},
      {fmt::format("{:.0f} tokens/s", metrics.tokens_per_s), 3}};
  if (has_rows) {
    // Of the step's distinct rows, the shares that had to come into device memory: what comes from
    // the disk decides how fast it goes.
    const offload::Entry rows = metrics.books.total(offload::Cause::kTraining);
    const std::int64_t all = metrics.distinct_rows;
    fields.push_back({fmt::format("{} rows: ", all) +
                          share_text("disk", rows[offload::Field::kDiskToDeviceRows], all),
                      4});
    fields.push_back({share_text("host", rows[offload::Field::kHostToDeviceRows], all), 5, true});
    fields.push_back({share_text("new", rows[offload::Field::kGeneratedRows], all), 6, true});
    if (metrics.times.stall_ms > 0) {
      fields.push_back({fmt::format("stall {:.0f}%", 100 * metrics.stall_share()), 7});
    }
    const offload::Entry sum = metrics.books.total();
    const std::uint64_t hinted = sum[offload::Field::kHintsUsed] - sum[offload::Field::kHintsLate];
    if (sum[offload::Field::kHinted] > 0) {
      // Of the rows that had to come, those that were there before they were asked for.
      const std::uint64_t missed = rows.rows_fetched() + sum[offload::Field::kHintsLate];
      fields.push_back(
          {share_text("hinted", hinted, static_cast<std::int64_t>(hinted + missed)), 8});
    }
  }
  if (seconds_left && metrics.step < steps) {
    fields.push_back({io::human_seconds(*seconds_left) + " left", 2});
  }
  return fields;
}

}  // namespace mneme::engine
