#include "tools/report/run_report.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "io/check.h"
#include "io/enum_names.h"
#include "io/error.h"
#include "offload/ledger/ledger.h"

namespace mneme::report {
namespace {

using engine::PredictionMetrics;
using engine::StepMetrics;
using engine::StepTimes;
using offload::Cause;
using offload::Entry;
using offload::Field;

struct Clock {
  const char* name;
  const char* meaning;
  double StepTimes::*ms;
};
constexpr Clock kClocks[] = {
    {"data", "reading the batches", &StepTimes::data_ms},
    {"forward", "the forward pass, without waits for rows", &StepTimes::forward_ms},
    {"predict", "rows predicted and hinted between the passes", &StepTimes::predict_ms},
    {"backward", "output head and backward pass, without waits for rows", &StepTimes::backward_ms},
    {"update", "the optimisers, without waits for rows", &StepTimes::update_ms},
};

// Fields of the books, and what the report says of them. Their names are the table's.
struct Shown {
  Field field;
  const char* meaning;
};
constexpr Shown kStalls[] = {
    {Field::kStallPlan, "waits for the plan: look-up, victims, slots"},
    {Field::kStallHost, "waits for rows from host memory, generated or caught up"},
    {Field::kStallDisk, "waits for rows from the disk"},
    {Field::kStallWriteBack, "waits for room: rows that had to be written"},
    {Field::kStallHint, "waits for rows that a hint had not brought yet"},
    {Field::kStallCheckpoint, "waits for copies that a checkpoint made"},
};
constexpr Shown kMoves[] = {
    {Field::kHostToDeviceRows, "page-in from the host tier"},
    {Field::kDiskToDeviceRows, "page-in from the disk"},
    {Field::kGeneratedRows, "rows that nothing had changed before"},
    {Field::kDiskToHostRows, "read for hints"},
    {Field::kDeviceToHostRows, "write-back to the host tier"},
    {Field::kDeviceToDiskRows, "write-back to the disk"},
    {Field::kHostToDiskRows, "write-back from the host tier to the disk"},
};

// Without what says what kind of number it is.
std::string name_without(Field field, std::string_view front, std::string_view end) {
  std::string_view name = offload::info(field).name;
  CHECK(name.starts_with(front) && name.ends_with(end));
  name.remove_prefix(front.size());
  name.remove_suffix(end.size());
  return std::string(name);
}

// Of a wait.
std::string part_name(Field stall) {
  return name_without(stall, "", "_us");
}
constexpr std::string_view kStallFront = "stall.";

std::span<const StepMetrics> chosen(std::span<const StepMetrics> lines, std::uint64_t first) {
  if (first == 0) return lines.subspan(lines.size() / 10);
  const auto from = std::find_if(lines.begin(), lines.end(),
                                 [first](const StepMetrics& line) { return line.step >= first; });
  return lines.subspan(static_cast<std::size_t>(from - lines.begin()));
}

// The parts that the clocks have measured, the waits by cause, and what is left.
std::vector<TimePart> time_parts(const StepTimes& mean, const Entry& training, double steps) {
  std::vector<TimePart> parts;
  double left = mean.step_ms;
  const auto add = [&](std::string name, const char* meaning, double ms) {
    parts.push_back({std::move(name), meaning, ms});
    left -= ms;
  };
  for (const Clock& clock : kClocks) add(clock.name, clock.meaning, mean.*clock.ms);
  double booked_ms = 0;
  for (const Shown& stall : kStalls) booked_ms += 1e-3 * double(training[stall.field]) / steps;
  // What was booked of a pass may be longer than the pass by its own clock.
  const double scale = booked_ms > 0 ? mean.stall_ms / booked_ms : 0;
  for (const Shown& stall : kStalls) {
    add(part_name(stall.field), stall.meaning,
        scale * 1e-3 * double(training[stall.field]) / steps);
  }
  add("other", "the host: hints between the steps, checkpoints, books", std::max(0.0, left));
  double sum = 0;
  for (const TimePart& part : parts) sum += part.ms;
  for (TimePart& part : parts) {
    if (sum > mean.step_ms) part.ms *= mean.step_ms / sum;  // clocks of different threads
    part.share = mean.step_ms > 0 ? part.ms / mean.step_ms : 0;
  }
  return parts;
}

std::vector<MoveRate> moves_of(const Entry& all, double steps, double seconds) {
  std::vector<MoveRate> moves;
  for (const Shown& move : kMoves) {
    const auto bytes = double(all[offload::Ledger::bytes_of(move.field)]);
    const double busy_s = 1e-6 * double(all[offload::Ledger::time_of(move.field)]);
    moves.push_back({.name = name_without(move.field, "moves.", ".rows"),
                     .meaning = move.meaning,
                     .rows = double(all[move.field]) / steps,
                     .bytes = bytes / steps,
                     .bytes_per_s = seconds > 0 ? bytes / seconds : 0,
                     .busy_bytes_per_s = busy_s > 0 ? bytes / busy_s : 0});
  }
  return moves;
}

std::vector<PredictorReport> predictors_of(std::span<const StepMetrics> lines) {
  std::map<std::tuple<std::int32_t, memory::PredictorKind, std::int64_t>, PredictionMetrics> sums;
  for (const StepMetrics& line : lines) {
    for (const PredictionMetrics& one : line.predictions) {
      PredictionMetrics& sum = sums[{one.layer, one.predictor, one.distance}];
      sum.predictor = one.predictor;
      sum.distance = one.distance;
      sum.layer = one.layer;
      sum.score += one.score;
      sum.hints += one.hints;
    }
  }
  std::vector<PredictorReport> predictors;
  for (const auto& [key, sum] : sums) {
    std::string name = io::name_of(sum.predictor);
    if (sum.distance >= 0) name += ", d " + std::to_string(sum.distance);
    predictors.push_back({sum, std::move(name)});
  }
  return predictors;
}

}  // namespace

ReadsByTier reads_of(const Entry& forward, double steps) {
  return {.device = double(forward[Field::kFoundOnDevice]) / steps,
          .host = double(forward[Field::kFoundInHost]) / steps,
          .disk = double(forward[Field::kFoundOnDisk]) / steps,
          .untouched = double(forward[Field::kFoundUntouched]) / steps};
}

double RunReport::computing_ms() const {
  double ms = step_ms;
  for (const TimePart& part : time) {
    if (part.name.starts_with(kStallFront)) ms -= part.ms;
  }
  return std::max(0.0, ms);
}

namespace {

double ms_of(const std::vector<TimePart>& parts, const std::string& name) {
  for (const TimePart& part : parts) {
    if (part.name == name) return part.ms;
  }
  return 0;
}

}  // namespace

double RunReport::planning_ms() const {
  return ms_of(time, part_name(Field::kStallPlan));
}

double RunReport::predicting_ms() const {
  return ms_of(time, "predict");
}

StepSums sums_of(std::span<const StepMetrics> lines, std::uint64_t first) {
  const std::span<const StepMetrics> used = chosen(lines, first);
  if (used.empty()) io::fail("no steps{} to report on", first > 0 ? " from there on" : "");
  StepSums sums{.first_step = used.front().step,
                .last_step = used.back().step,
                .steps = used.size(),
                .mean = {},
                .loss = 0,
                .books = {},
                .disk_latencies = {},
                .predictors = predictors_of(used)};
  const auto steps = static_cast<double>(used.size());
  for (const StepMetrics& line : used) {
    sums.mean.step_ms += line.times.step_ms / steps;
    sums.mean.stall_ms += line.times.stall_ms / steps;
    for (const Clock& clock : kClocks) sums.mean.*clock.ms += line.times.*clock.ms / steps;
    sums.loss += line.loss / steps;
    sums.books += line.books;
    sums.disk_latencies += line.disk_latencies;
  }
  return sums;
}

RunReport report_of(const StepSums& sums, std::int64_t tokens) {
  RunReport report{.first_step = sums.first_step,
                   .last_step = sums.last_step,
                   .steps = sums.steps,
                   .step_ms = sums.mean.step_ms,
                   .tokens_per_s = 0,
                   .loss = sums.loss,
                   .time = {},
                   .reads = {},
                   .moves = {},
                   .hints = {},
                   .disk_latencies = sums.disk_latencies,
                   .predictors = sums.predictors};
  const auto steps = static_cast<double>(sums.steps);
  const double seconds = 1e-3 * sums.mean.step_ms * steps;
  const Entry all = sums.books.total();
  report.tokens_per_s = seconds > 0 ? static_cast<double>(tokens) * steps / seconds : 0;
  report.time = time_parts(sums.mean, sums.books.total(Cause::kTraining), steps);
  report.reads = reads_of(sums.books.total(Cause::kTraining, offload::Pass::kForward), steps);
  report.moves = moves_of(all, steps, seconds);
  report.hints = {.brought = double(all[Field::kHintsPlanned] - all[Field::kHintsPromoted]) / steps,
                  .used = double(all[Field::kHintsUsed]) / steps,
                  .late = double(all[Field::kHintsLate]) / steps,
                  .wasted = double(all[Field::kHintsWasted]) / steps};
  return report;
}

RunReport report_of(std::span<const StepMetrics> lines, std::int64_t tokens, std::uint64_t first) {
  return report_of(sums_of(lines, first), tokens);
}

}  // namespace mneme::report
