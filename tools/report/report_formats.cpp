#include "tools/report/report_formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/enum_names.h"
#include "io/human.h"
#include "tools/report/words.h"

namespace mneme::report {
namespace {

using Json = nlohmann::ordered_json;

std::string time_text(const RunReport& report) {
  std::string text = "time of a step\n";
  for (const TimePart& part : report.time) {
    if (part.ms <= 0) continue;
    text += fmt::format("  {:<18}{:>10.2f} ms {:>6.1f}%  {}\n", part.name, part.ms,
                        100 * part.share, part.meaning);
  }
  return text;
}

std::string reads_text(const ReadsByTier& reads) {
  if (reads.all() == 0) return {};
  std::string text = "rows read by forward passes, of a step\n";
  const auto add = [&](const char* name, double rows, const char* meaning) {
    text += fmt::format("  {:<18}{:>13.1f} {:>6.2f}%  {}\n", name, rows, 100 * rows / reads.all(),
                        meaning);
  };
  add("device", reads.device, "there already");
  add("host", reads.host, "page-in from the host tier");
  add("disk", reads.disk, "page-in from the disk");
  add("untouched", reads.untouched, "generated: nothing had changed them");
  return text;
}

std::string moves_text(const RunReport& report) {
  const bool any = std::any_of(report.moves.begin(), report.moves.end(),
                               [](const MoveRate& move) { return move.rows > 0; });
  if (!any) return {};
  std::string text = fmt::format("moves of a step {:>18} {:>11} {:>13} {:>17}\n", "rows", "bytes",
                                 "of all time", "while under way");
  for (const MoveRate& move : report.moves) {
    if (move.rows == 0) continue;
    text += fmt::format("  {:<18}{:>14.1f} {:>11} {:>13} {:>17}  {}\n", move.name, move.rows,
                        io::human_bytes(move.bytes), rate(move.bytes_per_s),
                        rate(move.busy_bytes_per_s), move.meaning);
  }
  return text;
}

std::string prediction_text(const RunReport& report) {
  std::string text;
  if (report.hints.brought > 0) {
    text += fmt::format(
        "hints of a step: {:.1f} rows brought, {:.1f} used, {:.1f} of them late, {:.1f} wasted\n",
        report.hints.brought, report.hints.used, report.hints.late, report.hints.wasted);
  }
  if (report.predictors.empty()) return text;
  text += fmt::format("predictions {:>22} {:>9} {:>8} {:>8} {:>14} {:>9} {:>9} {:>9}\n", "layer",
                      "predicted", "recall", "at 1.5", "hottest rows", "brought", "used", "late");
  for (const PredictorReport& one : report.predictors) {
    const memory::PredictionScore& score = one.sums.score;
    const auto steps = static_cast<double>(score.steps);
    text += fmt::format(
        "  {:<26}{:>6} {:>9.1f} {:>7.1f}% {:>7.1f}% {:>13.1f}% {:>9.1f} {:>9.1f} {:>9.1f}\n",
        one.name, one.sums.layer, static_cast<double>(score.predicted) / steps,
        100 * score.recall(), 100 * score.recall_at(1), 100 * score.hottest_recall_at(1),
        static_cast<double>(one.sums.hints.brought) / steps,
        static_cast<double>(one.sums.hints.used) / steps,
        static_cast<double>(one.sums.hints.late) / steps);
  }
  return text;
}

Json predictors_json(const std::vector<PredictorReport>& predictors) {
  Json array = Json::array();
  for (const PredictorReport& one : predictors) {
    const memory::PredictionScore& score = one.sums.score;
    const memory::HintScore& hints = one.sums.hints;
    Json at = Json::array();
    for (std::size_t i = 0; i < memory::kScoredBudgets.size(); ++i) {
      at.push_back({{"budget", memory::kScoredBudgets[i]},
                    {"recall", score.recall_at(i)},
                    {"hottest_recall", score.hottest_recall_at(i)}});
    }
    Json object = {{"predictor", io::name_of(one.sums.predictor)}, {"layer", one.sums.layer}};
    if (one.sums.distance >= 0) object["distance"] = one.sums.distance;
    object.update({{"steps", score.steps},
                   {"read", score.read},
                   {"predicted", score.predicted},
                   {"hits", score.hits},
                   {"recall", score.recall()},
                   {"at", std::move(at)},
                   {"present", hints.present},
                   {"hinted", hints.hinted},
                   {"brought", hints.brought},
                   {"used", hints.used},
                   {"late", hints.late}});
    array.push_back(std::move(object));
  }
  return array;
}

std::string what_ifs_text(const Findings& findings) {
  if (!findings.what_ifs) return {};
  const WhatIfs& told = *findings.what_ifs;
  std::string text =
      fmt::format("what a step would take (the model has {:.2f} ms for it)\n", told.modelled_ms);
  const auto add = [&](const std::vector<WhatIf>& list, const char* how) {
    for (const WhatIf& one : list) {
      text += fmt::format("  {:>10.2f} ms {:>6.1f}%  {}{}\n", one.step_ms, -100 * one.gain,
                          one.name, how);
    }
  };
  add(told.resources, " infinitely fast");
  add(told.settings, "");
  return text;
}

Json reads_json(const ReadsByTier& reads) {
  return {{"device", reads.device},
          {"host", reads.host},
          {"disk", reads.disk},
          {"untouched", reads.untouched}};
}

Json latencies_json(const offload::DiskLatencies& latencies) {
  Json json = Json::object();
  for (std::size_t i = 0; i < offload::kDiskQueues; ++i) {
    const offload::LatencyCounts& counts = latencies.queues[i];
    if (counts.transfers() == 0) continue;
    json[io::name_of(static_cast<offload::DiskQueue>(i))] = {{"transfers", counts.transfers()},
                                                             {"p50_us", counts.quantile(.5)},
                                                             {"p90_us", counts.quantile(.9)},
                                                             {"p99_us", counts.quantile(.99)},
                                                             {"most_us", counts.quantile(1)}};
  }
  return json;
}

Json what_if_json(const WhatIf& one) {
  return {{"name", one.name},
          {"set", one.changes},
          {"step_ms", one.step_ms},
          {"gain", one.gain},
          {"reads", reads_json(one.reads)},
          {"disk_read_bytes", one.disk_read_bytes},
          {"disk_written_bytes", one.disk_written_bytes}};
}

Json advice_json(const Verdict& verdict) {
  return verdict.advice ? what_if_json(*verdict.advice) : Json(nullptr);
}

Json ceilings_json(const Ceilings& ceilings) {
  return {{"host_to_device", ceilings.host_to_device},
          {"device_to_host", ceilings.device_to_host},
          {"disk_read", ceilings.disk_read},
          {"disk_write", ceilings.disk_write}};
}

Json what_ifs_json(const WhatIfs& told) {
  Json json = {{"measured_ms", told.measured_ms},
               {"modelled_ms", told.modelled_ms},
               {"host_link_bytes_per_s", told.speeds.host_link},
               {"disk_link_bytes_per_s", told.speeds.disk_link},
               {"resources", Json::array()},
               {"settings", Json::array()},
               {"misses", Json::array()}};
  for (const WhatIf& one : told.resources) json["resources"].push_back(what_if_json(one));
  for (const WhatIf& one : told.settings) json["settings"].push_back(what_if_json(one));
  for (const MissPoint& point : told.misses) {
    json["misses"].push_back({{"rows", point.rows},
                              {"bytes", point.bytes},
                              {"planned", point.planned},
                              {"belady", point.belady}});
  }
  return json;
}

}  // namespace

std::string report_text(const Findings& findings) {
  const RunReport& report = findings.report;
  return findings.verdict.text + "\n" +
         fmt::format("steps {} to {}: {:.2f} ms a step, {:.0f} tokens/s, mean loss {:.4f}\n",
                     report.first_step, report.last_step, report.step_ms, report.tokens_per_s,
                     report.loss) +
         time_text(report) + reads_text(report.reads) + moves_text(report) +
         prediction_text(report) + what_ifs_text(findings);
}

std::string report_json(const Findings& findings) {
  const RunReport& report = findings.report;
  Json json = {{"mneme_report", 1},
               {"verdict",
                {{"bound", findings.verdict.bound},
                 {"text", findings.verdict.text},
                 {"advice", advice_json(findings.verdict)}}},
               {"first_step", report.first_step},
               {"last_step", report.last_step},
               {"steps", report.steps},
               {"step_ms", report.step_ms},
               {"tokens_per_s", report.tokens_per_s},
               {"loss", report.loss},
               {"time", Json::array()},
               {"reads", reads_json(report.reads)},
               {"moves", Json::array()},
               {"hints",
                {{"brought", report.hints.brought},
                 {"used", report.hints.used},
                 {"late", report.hints.late},
                 {"wasted", report.hints.wasted}}},
               {"disk_latency", latencies_json(report.disk_latencies)},
               {"predictors", predictors_json(report.predictors)}};
  for (const TimePart& part : report.time) {
    json["time"].push_back({{"name", part.name}, {"ms", part.ms}, {"share", part.share}});
  }
  for (const MoveRate& move : report.moves) {
    json["moves"].push_back({{"name", move.name},
                             {"rows", move.rows},
                             {"bytes", move.bytes},
                             {"bytes_per_s", move.bytes_per_s},
                             {"busy_bytes_per_s", move.busy_bytes_per_s}});
  }
  if (findings.notes) json["ceilings"] = ceilings_json(findings.notes->ceilings);
  if (findings.what_ifs) json["what_if"] = what_ifs_json(*findings.what_ifs);
  return json.dump();
}

std::string report_csv(std::span<const engine::StepMetrics> lines) {
  std::string text =
      "step,loss,tokens_per_s,step_ms,data_ms,forward_ms,predict_ms,backward_ms,update_ms,stall_ms,"
      "evaluation_ms,sample_ms,checkpoint_ms";
  for (const offload::FieldInfo& field : offload::kFields) text += fmt::format(",{}", field.name);
  text += "\n";
  for (const engine::StepMetrics& line : lines) {
    const engine::StepTimes& times = line.times;
    text += fmt::format("{},{},{}", line.step, line.loss, line.tokens_per_s);
    for (const double ms : {times.step_ms, times.data_ms, times.forward_ms, times.predict_ms,
                            times.backward_ms, times.update_ms, times.stall_ms, times.evaluation_ms,
                            times.sample_ms, times.checkpoint_ms}) {
      text += fmt::format(",{}", ms);
    }
    const offload::Entry all = line.books.total();
    for (const offload::FieldInfo& field : offload::kFields) {
      text += fmt::format(",{}", all[field.field]);
    }
    text += "\n";
  }
  return text;
}

std::string latency_csv(const offload::DiskLatencies& latencies) {
  std::string text = "queue,least_us,transfers\n";
  for (std::size_t i = 0; i < offload::kDiskQueues; ++i) {
    const auto& counts = latencies.queues[i].counts();
    for (std::size_t bucket = 0; bucket < counts.size(); ++bucket) {
      if (counts[bucket] == 0) continue;
      text += fmt::format("{},{},{}\n", io::name_of(static_cast<offload::DiskQueue>(i)),
                          offload::LatencyCounts::least_us(bucket), counts[bucket]);
    }
  }
  return text;
}

std::string misses_csv(const std::vector<MissPoint>& misses) {
  std::string text = "rows,bytes,planned,belady\n";
  for (const MissPoint& point : misses) {
    text += fmt::format("{},{},{},{}\n", point.rows, point.bytes, point.planned, point.belady);
  }
  return text;
}

}  // namespace mneme::report
