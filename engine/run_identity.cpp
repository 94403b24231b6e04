#include "engine/run_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/config_keys.h"
#include "engine/row_gradient_choice.h"
#include "engine/schedule.h"
#include "io/check.h"
#include "io/error.h"

namespace mneme::engine {
namespace {

bool in_section(const std::string& key, const char* section) {
  return key.rfind(std::string(section) + ".", 0) == 0;
}

bool is_schedule_key(const std::string& key) {
  return key == "train.steps" || key == "train.warmup_steps" || key == "train.schedule" ||
         key == "train.min_ratio" || key == "optimizer.learning_rate" ||
         key == "memory.optimizer.learning_rate";
}

// A value that depends on these alone is the same in every use of a checkpoint.
bool must_match_to_read(const std::string& key) {
  return in_section(key, "model") || in_section(key, "memory") || key == "moe.experts" ||
         key == "moe.hidden" || key == "data.vocabulary" || key == "run.seed" ||
         is_schedule_key(key);
}

// Where the data lies is not part of what it is: its fingerprint tells that (and whether there is
// validation data of its own).
bool must_match_to_train(const std::string& key) {
  if (is_schedule_key(key) || key == "data.path" || key == "data.validation_path" ||
      key == "data.extensions") {
    return false;
  }
  return must_match_to_read(key) || in_section(key, "moe") || in_section(key, "optimizer") ||
         in_section(key, "data") || key == "train.batch" || key == "train.sequence" ||
         key == "train.micro_batches";
}

template <typename Wanted>
std::map<std::string, std::string> keys_of(const Config& config, const Wanted& wanted) {
  Config copy = config;  // the table of keys binds to fields that it could change
  choose_row_gradient(copy);
  std::map<std::string, std::string> values;
  for (const Key& key : config_keys(copy)) {
    if (wanted(key.name)) values[key.name] = format_value(key.value);
  }
  return values;
}

// Of steps from `first_step` on.
struct ValueRates {
  std::uint64_t first_step = 1;
  ScheduleOptions options;
};

// A configuration as it was in a segment of the run.
Config config_in(const ScheduleSegment& segment, const Config& config) {
  std::vector<std::string> settings;
  for (const auto& [key, value] : segment.keys) settings.push_back(key + "=" + value);
  return parse_config(to_toml(config), "the schedule of the run", settings);
}

}  // namespace

void check_identity(const Config& recorded, const Config& wanted, RunUse use,
                    const std::string& manifest) {
  // Disks may be mounted elsewhere. Where no folder is named there is one file, too.
  const auto files = [](const Config& config) {
    return std::max<std::size_t>(1, config.tiers.disk_paths.size());
  };
  if (recorded.has_memory() && files(recorded) != files(wanted)) {
    io::fail(
        "{}: the rows of the run are in {} files, and tiers.disk_paths is for {}; name the folder "
        "of each, in their order",
        manifest, files(recorded), files(wanted));
  }
  const auto matters = use == RunUse::kTrain ? must_match_to_train : must_match_to_read;
  const auto theirs = keys_of(recorded, matters);
  for (const auto& [key, ours] : keys_of(wanted, matters)) {
    const std::string& there = theirs.at(key);
    if (there == ours) continue;
    io::fail(
        "{} belongs to another configuration: {} is {} there and {} here; leave the key as it is "
        "there, or train a new run",
        manifest, key, there, ours);
  }
}

std::vector<ScheduleSegment> continue_schedule(std::span<const ScheduleSegment> past,
                                               std::uint64_t completed_steps,
                                               const Config& config) {
  std::vector<ScheduleSegment> segments;
  for (const ScheduleSegment& segment : past) {
    if (segment.first_step <= completed_steps || segments.empty()) segments.push_back(segment);
  }
  auto keys = keys_of(config, is_schedule_key);
  if (!segments.empty() && segments.back().keys == keys) return segments;
  if (completed_steps == 0) segments.clear();
  segments.push_back({completed_steps + 1, std::move(keys)});
  return segments;
}

std::string describe_schedule_change(std::span<const ScheduleSegment> segments,
                                     std::uint64_t completed_steps, const Config& config) {
  const bool changed = segments.size() > 1 && segments.back().first_step == completed_steps + 1;
  if (!changed) return {};
  const ScheduleSegment& before = segments[segments.size() - 2];
  std::string keys;
  for (const auto& [key, value] : segments.back().keys) {
    const auto old = before.keys.find(key);
    if (old == before.keys.end() || old->second == value) continue;
    keys += fmt::format("{}{} is {} (was {})", keys.empty() ? "" : ", ", key, value, old->second);
  }
  const auto dense_rate = [](const Config& of, std::uint64_t step) {
    return learning_rate(schedule_options(of.train, of.optimizer.learning_rate), step);
  };
  return fmt::format(
      "from step {} on {}; optimizer.learning_rate goes on at {:.3g}, it was {:.3g} in step {}",
      completed_steps + 1, keys, dense_rate(config, completed_steps + 1),
      dense_rate(config_in(before, config), completed_steps), completed_steps);
}

memory::Schedule value_schedule(std::span<const ScheduleSegment> segments, const Config& config) {
  CHECK(!segments.empty() && segments.front().first_step == 1);
  std::vector<ValueRates> rates;
  for (const ScheduleSegment& segment : segments) {
    const Config then = config_in(segment, config);
    rates.push_back(
        {segment.first_step, schedule_options(then.train, then.memory.optimizer.learning_rate)});
  }
  return [rates](std::uint64_t step) {
    const auto after = std::upper_bound(
        rates.begin(), rates.end(), step,
        [](std::uint64_t wanted, const ValueRates& one) { return wanted < one.first_step; });
    return learning_rate(std::prev(after)->options, step);
  };
}

}  // namespace mneme::engine
