#include "tools/mneme/replay_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "io/enum_names.h"
#include "io/utf8.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {
namespace {

using offload::Field;
using report::Replay;

// The names of the policies in the device and in the host tier.
std::pair<std::string, std::string> policies_of(const Replay& replay) {
  if (replay.knows_future) return {kBelady, kBelady};
  return {io::name_of(replay.tiers.device_policy), io::name_of(replay.tiers.host_policy)};
}

std::string policy_text(const Replay& replay) {
  const auto [device, host] = policies_of(replay);
  return device == host || replay.tiers.host_slots == 0 ? device : device + "/" + host;
}

double percent_of(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string rows_of(const std::string& path, const std::vector<Replay>& replays) {
  std::string text = fmt::format("{}: rows leased in training, and where they were\n", path);
  text += fmt::format("{:>12} {:>12} {:>11} {:>14} {:>7} {:>7} {:>7} {:>7} {:>12} {:>12} {:>12}\n",
                      "device slots", "host slots", "policy", "rows", "device", "host", "disk",
                      "new", "from host", "disk reads", "disk writes");
  for (const Replay& replay : replays) {
    const offload::Entry training = replay.books.total(offload::Cause::kTraining);
    const offload::Entry all = replay.books.total();
    const std::uint64_t rows = training[Field::kRowsLeased];
    text += fmt::format(
        "{:>12} {:>12} {:>11} {:>14} {:>6.2f}% {:>6.2f}% {:>6.2f}% {:>6.2f}% {:>12} {:>12} "
        "{:>12}\n",
        replay.tiers.device_slots, replay.tiers.host_slots, policy_text(replay), rows,
        percent_of(training[Field::kFoundOnDevice], rows),
        percent_of(training[Field::kFoundInHost], rows),
        percent_of(training[Field::kFoundOnDisk], rows),
        percent_of(training[Field::kFoundUntouched], rows), all[Field::kHostToDeviceRows],
        all.disk_rows_read(), all.disk_rows_written());
  }
  return text;
}

// What predicted the rows that hints brought.
std::string prefetch_text(const Replay& replay) {
  if (replay.history) return io::name_of(replay.history->kind);
  return replay.has_hints ? "as traced" : "none";
}

// Where there are any.
std::string hints_of(const std::vector<Replay>& replays) {
  const auto hinted = [](const Replay& replay) { return replay.books.total()[Field::kHinted] > 0; };
  if (std::none_of(replays.begin(), replays.end(), hinted)) return {};
  std::string text = "rows that hints brought ahead of their use, and what became of them\n";
  text += fmt::format("{:>12} {:>12} {:>11} {:>16} {:>12} {:>12} {:>12} {:>12}\n", "device slots",
                      "host slots", "policy", "prefetch", "brought", "used", "wasted", "waiting");
  for (const Replay& replay : replays) {
    const offload::Entry all = replay.books.total();
    const std::uint64_t brought = all[Field::kHintsPlanned] - all[Field::kHintsPromoted];
    const std::uint64_t used = all[Field::kHintsUsed], wasted = all[Field::kHintsWasted];
    text += fmt::format("{:>12} {:>12} {:>11} {:>16} {:>12} {:>12} {:>12} {:>12}\n",
                        replay.tiers.device_slots, replay.tiers.host_slots, policy_text(replay),
                        prefetch_text(replay), brought, used, wasted, brought - used - wasted);
  }
  return text;
}

constexpr std::array kWaits = {Field::kStallHost, Field::kStallDisk, Field::kStallWriteBack,
                               Field::kStallHint};

double step_ms(const Replay& replay) {
  return replay.steps == 0 ? 0 : 1e3 * replay.run_seconds / static_cast<double>(replay.steps);
}

// What steps would take, where speeds are known.
std::string times_of(const std::vector<Replay>& replays) {
  if (!replays.front().speeds) return {};
  const offload::ReplaySpeeds& speeds = *replays.front().speeds;
  const auto link = [](double bytes_per_second) {
    return bytes_per_second > 0 ? fmt::format("{:.4g} GB/s", 1e-9 * bytes_per_second)
                                : std::string("of any speed");
  };
  std::string text = fmt::format(
      "times of a step: {:.4g} ms of computation, host link {}, disk {}; of which waits for rows\n",
      1e3 * speeds.step_seconds, link(speeds.host_link), link(speeds.disk_link));
  text += fmt::format("{:>12} {:>12} {:>11} {:>12} {:>9} {:>9} {:>9} {:>9} {:>12}\n",
                      "device slots", "host slots", "policy", "step ms", "host", "disk", "writes",
                      "hints", "hints late");
  for (const Replay& replay : replays) {
    const offload::Entry all = replay.books.total();
    text += fmt::format("{:>12} {:>12} {:>11} {:>12.3f}", replay.tiers.device_slots,
                        replay.tiers.host_slots, policy_text(replay), step_ms(replay));
    for (const Field field : kWaits) {
      const double share =
          replay.run_seconds > 0 ? 1e-4 * static_cast<double>(all[field]) / replay.run_seconds : 0;
      text += fmt::format(" {:>8.2f}%", share);
    }
    text += fmt::format(" {:>12}\n", all[Field::kHintsLate]);
  }
  return text;
}

// Times are known with speeds, and of waits for rows alone.
bool is_shown(const Replay& replay, const offload::FieldInfo& field) {
  return field.unit != "microseconds" ||
         (replay.speeds && std::find(kWaits.begin(), kWaits.end(), field.field) != kWaits.end());
}

}  // namespace

std::string replay_table(const std::string& path, const std::vector<Replay>& replays) {
  return rows_of(path, replays) + hints_of(replays) + times_of(replays);
}

std::string replay_csv(const std::vector<Replay>& replays) {
  std::string text =
      "device_slots,evaluation_slots,host_slots,device_policy,host_policy,prefetch,step_ms,"
      "computed_ms";
  for (const offload::FieldInfo& field : offload::kFields) {
    if (is_shown(replays.front(), field)) text += fmt::format(",{}", field.name);
  }
  text += "\n";
  for (const Replay& replay : replays) {
    const offload::Entry all = replay.books.total();
    const auto [device, host] = policies_of(replay);
    const double computed_ms =
        replay.steps == 0 ? 0 : 1e3 * replay.computed_seconds / static_cast<double>(replay.steps);
    text += fmt::format("{},{},{},{},{},{},{},{}", replay.tiers.device_slots,
                        replay.tiers.evaluation_slots, replay.tiers.host_slots, device, host,
                        prefetch_text(replay), step_ms(replay), computed_ms);
    for (const offload::FieldInfo& field : offload::kFields) {
      if (is_shown(replay, field)) text += fmt::format(",{}", all[field.field]);
    }
    text += "\n";
  }
  return text;
}

nlohmann::ordered_json replay_json(const std::string& path, const std::vector<Replay>& replays) {
  auto array = nlohmann::ordered_json::array();
  for (const Replay& replay : replays) {
    auto accounts = nlohmann::ordered_json::array();
    for (const auto& [account, entry] : replay.books.entries()) {
      nlohmann::ordered_json object = {{"cause", io::name_of(account.cause)}, {"layer", nullptr}};
      if (account.layer != offload::kNoLayer) object["layer"] = account.layer;
      if (account.pass != offload::Pass::kNone) object["pass"] = io::name_of(account.pass);
      for (const offload::FieldInfo& field : offload::kFields) {
        if (is_shown(replay, field) && entry[field.field] > 0) {
          object[std::string(field.name)] = entry[field.field];
        }
      }
      accounts.push_back(std::move(object));
    }
    array.push_back({{"device_slots", replay.tiers.device_slots},
                     {"evaluation_slots", replay.tiers.evaluation_slots},
                     {"host_slots", replay.tiers.host_slots},
                     {"device_policy", policies_of(replay).first},
                     {"host_policy", policies_of(replay).second},
                     {"prefetch", prefetch_text(replay)},
                     {"own", replay.is_own},
                     {"references", replay.references},
                     {"seconds", replay.seconds}});
    if (replay.speeds) {
      array.back()["run"] = {{"host_link_bytes_per_s", replay.speeds->host_link},
                             {"disk_link_bytes_per_s", replay.speeds->disk_link},
                             {"step_ms", step_ms(replay)},
                             {"seconds", replay.run_seconds},
                             {"computed_seconds", replay.computed_seconds}};
    }
    array.back()["accounts"] = std::move(accounts);
  }
  return {{"trace", io::bytes_to_utf8(path)}, {"replays", std::move(array)}};
}

}  // namespace mneme::tools
