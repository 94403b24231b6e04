#include "tools/ablate/answers.h"

#include <algorithm>
#include <thread>

#include "engine/run_files.h"
#include "io/enum_names.h"
#include "io/error.h"
#include "tools/report/comparison.h"
#include "tools/report/step_model.h"

namespace mneme::ablate {
namespace {

using offload::Account;
using offload::Cause;
using offload::Entry;
using offload::Field;

// Fields that a run counts; others are times, or depend on them.
bool is_count(const offload::FieldInfo& field) {
  switch (field.field) {
    case Field::kHintsLate:
    case Field::kDiskRetries:
    case Field::kDiskToDeviceBytes:  // none for a record that is still on its way to the disk
    case Field::kDiskToHostBytes:
      return false;
    default:
      return field.unit != "microseconds";
  }
}

// Whether a replay moves rows over a link of which nobody knows the speed.
bool knows_links(const report::Replay& replay) {
  const Entry all = replay.books.total();
  const bool uses_host = all[Field::kHostToDeviceRows] + all[Field::kDeviceToHostRows] > 0;
  const bool uses_disk =
      all[Field::kDiskToDeviceRows] + all[Field::kDeviceToDiskRows] + all[Field::kHostToDiskRows] >
      0;
  return (!uses_host || replay.speeds->host_link > 0) &&
         (!uses_disk || replay.speeds->disk_link > 0);
}

bool is_time(std::string_view number) {
  return number == "step_ms" || number == "tokens_per_s" || number.starts_with("time.") ||
         number.ends_with(".bytes_per_s");
}

double waits_ms(const Entry& entry) {
  double us = 0;
  for (const Field wait : {Field::kStallPlan, Field::kStallHost, Field::kStallDisk,
                           Field::kStallWriteBack, Field::kStallHint}) {
    us += static_cast<double>(entry[wait]);
  }
  return 1e-3 * us;
}

}  // namespace

bool is_predicted(std::string_view number) {
  return is_time(number) || number == "stall_share" || number == "moves.disk_to_device.bytes" ||
         number == "moves.disk_to_host.bytes";
}

bool has_trace(const io::Disk& disk, const std::string& directory) {
  return !engine::trace_paths(disk, directory, 0).empty();
}

std::size_t Answers::at_once() {
  return std::max(1u, std::thread::hardware_concurrency());
}

Answers::Answers(io::Disk& disk, const std::string& directory, const std::function<void()>& check)
    : disk_(disk) {
  const std::vector<std::string> paths = engine::trace_paths(disk, directory, 0);
  if (paths.empty()) io::fail("{}: the run has no trace", directory);
  trace_ = paths.back();
  report::FindOptions options;
  options.replays = false;
  trained_ = report::findings_of(disk, directory, options);
  sums_ = report::sums_of(trained_.lines);
  own_ = question(report::first_tiers(disk, trace_));
  own_.is_own = true;
  report::run_replays(disk_, trace_, {&own_, 1}, 1, check);
  check_counts();
}

report::Replay Answers::question(const offload::TraceTiers& tiers) const {
  return {.tiers = tiers,
          .speeds = report::speeds_of(trained_.report, tiers),
          .first = sums_.first_step,
          .until = sums_.last_step};
}

// A trace that was cut short, or something that a replay does not know of.
void Answers::check_counts() const {
  if (own_.steps != sums_.steps) {
    io::fail("{}: the trace holds {} of the {} steps {} to {}", trace_, own_.steps, sums_.steps,
             sums_.first_step, sums_.last_step);
  }
  offload::Books counted = sums_.books, replayed = own_.books;
  offload::Books both = counted;
  both += replayed;
  for (const auto& [account, sum] : both.entries()) {
    for (const offload::FieldInfo& field : offload::kFields) {
      const std::uint64_t run = counted[account][field.field];
      const std::uint64_t replay = replayed[account][field.field];
      if (!is_count(field) || run == replay) continue;
      io::fail("{}: the run has {} {} ({}, layer {}, {}), and its replay {}", trace_, run,
               field.name, io::name_of(account.cause), account.layer, io::name_of(account.pass),
               replay);
    }
  }
}

std::vector<Answers::Numbers> Answers::of(std::span<const offload::TraceTiers> cells,
                                          const std::function<void()>& check) {
  std::vector<report::Replay> replays;
  for (const offload::TraceTiers& tiers : cells) replays.push_back(question(tiers));
  // Once more, for how long its plans take beside as many others.
  replays.push_back(question(own_.tiers));
  replays.back().is_own = true;
  report::run_replays(disk_, trace_, replays, at_once(), check);
  own_ = std::move(replays.back());
  replays.pop_back();
  std::vector<Numbers> answers;
  for (const report::Replay& replay : replays) answers.push_back(answer(replay));
  return answers;
}

// The report of the trained run with another ledger and with predicted times.
Answers::Numbers Answers::answer(const report::Replay& replay) const {
  const report::StepModel model(trained_.report, own_);
  const auto steps = static_cast<double>(replay.steps);
  report::StepSums sums = sums_;
  sums.books = replay.books;
  sums.books[{Cause::kTraining}][Field::kStallPlan] +=
      static_cast<std::uint64_t>(1e3 * steps * model.planning_ms(replay));
  sums.mean.step_ms = model.predicted_ms(model.modelled_ms(replay));
  sums.mean.stall_ms = waits_ms(sums.books.total(Cause::kTraining)) / steps;
  sums.disk_latencies = {};
  sums.predictors.clear();
  report::Findings findings{.directory = trained_.directory,
                            .config = trained_.config,
                            .lines = trained_.lines,
                            .report = report::report_of(sums, trained_.config.tokens_per_step()),
                            .notes = {},
                            .what_ifs = {},
                            .usage = {},
                            .verdict = {}};
  Numbers numbers = report::numbers_of(findings);
  const bool knows_times = knows_links(replay);
  std::erase_if(numbers, [&](const auto& one) {
    const std::string& name = one.first;
    return name.ends_with(".busy_bytes_per_s") || (!knows_times && is_time(name));
  });
  return numbers;
}

}  // namespace mneme::ablate
