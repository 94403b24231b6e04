#include "tools/report/page_sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/config_keys.h"
#include "io/enum_names.h"
#include "io/human.h"
#include "tools/report/words.h"

namespace mneme::report {
namespace {

using engine::StepMetrics;
using offload::Cause;
using offload::Entry;
using offload::Field;
using offload::Pass;

std::string milliseconds(double ms) {
  return fmt::format("{:.2f} ms", ms);
}

std::string paragraph(const std::string& text) {
  return "<p>" + escape(text) + "</p>\n";
}

void add_chart(Section& section, Chart chart) {
  bin(chart);
  section.html += chart_html(chart);
  section.charts.push_back(std::move(chart));
}

std::vector<double> steps_of(const std::vector<StepMetrics>& lines) {
  std::vector<double> steps;
  for (const StepMetrics& line : lines) steps.push_back(static_cast<double>(line.step));
  return steps;
}

template <typename Value>
std::vector<double> each(const std::vector<StepMetrics>& lines, const Value& value) {
  std::vector<double> values;
  for (const StepMetrics& line : lines) values.push_back(value(line));
  return values;
}

// What would change the step.
Section what_if_section(const Findings& findings) {
  Section section{.id = "what-if", .title = "What would make a step shorter", .html = {}};
  if (!findings.what_ifs) {
    section.html =
        paragraph(findings.config.has_memory()
                      ? "The run has no trace of these steps, so that nothing can be replayed: "
                        "mneme profile makes one, and so does run.trace."
                      : "The model has no memory: there are no rows to keep anywhere.");
    return section;
  }
  const WhatIfs& told = *findings.what_ifs;
  section.html = paragraph(fmt::format(
      "The trace was replayed with links of the speeds that the run had; so modelled, a step takes "
      "{}, and measured {}. Each line changes one thing.",
      milliseconds(told.modelled_ms), milliseconds(told.measured_ms)));
  Table resources{.caption = "With one resource infinitely fast, a step would take",
                  .head = {"resource", "a step", "less by"},
                  .rows = {}};
  for (const WhatIf& one : told.resources) {
    resources.rows.push_back({one.name, milliseconds(one.step_ms), percent(one.gain)});
  }
  section.html += table_html(resources);
  Table settings{.caption = "With one setting changed, a step would take",
                 .head = {"setting", "a step", "less by", "rows on the device",
                          "read from the disk", "as options"},
                 .rows = {},
                 .text_columns = 1};
  for (const WhatIf& one : told.settings) {
    std::string changes;
    for (const std::string& change : one.changes) changes += " --set " + change;
    settings.rows.push_back({one.name, milliseconds(one.step_ms), percent(one.gain),
                             percent(one.reads.all() > 0 ? one.reads.device / one.reads.all() : 0),
                             io::human_bytes(one.disk_read_bytes),
                             changes.empty() ? "" : changes.substr(1)});
  }
  section.html += table_html(settings);
  return section;
}

// Parts that stand beside each other differ.
int color_of_part(const std::string& name) {
  static constexpr std::pair<std::string_view, int> kColors[] = {
      {"forward", 1},    {"backward", 6},        {"update", 3},     {"predict", 4},
      {"stall.plan", 7}, {"stall.host", 5},      {"stall.disk", 2}, {"stall.write_back", 4},
      {"stall.hint", 1}, {"stall.checkpoint", 7}};
  for (const auto& [part, color] : kColors) {
    if (part == name) return color;
  }
  return 8;
}

Section time_section(const Findings& findings) {
  const RunReport& report = findings.report;
  Section section{.id = "time", .title = "Where the time of a step went", .html = {}};
  std::vector<BarPart> bar;
  Table table{.caption = fmt::format("Parts of a step of {}, which add up to it",
                                     milliseconds(report.step_ms)),
              .head = {"part", "time", "share", "what it is"},
              .rows = {},
              .text_columns = 1};
  std::string alternative = "Shares of a step:";
  double stalls = 0;
  for (const TimePart& part : report.time) {
    if (part.ms <= 0) continue;
    const int color = color_of_part(part.name);
    if (part.name.starts_with("stall.")) stalls += part.share;
    bar.push_back({part.name, color, part.share});
    table.keys.push_back(color);
    table.rows.push_back({part.name, milliseconds(part.ms), percent(part.share), part.meaning});
    alternative += " " + part.name + " " + percent(part.share) + ",";
  }
  alternative.pop_back();
  section.html = "<figure><figcaption>" +
                 escape(fmt::format(
                     "The whole bar is one step, {} long; a wider part took more of it. Stalls, "
                     "the times in which the computation stood still for rows, are counted once, "
                     "however many causes they had: {} in all.",
                     milliseconds(report.step_ms), percent(stalls))) +
                 "</figcaption>" + stacked_bar_svg(alternative, bar) + "</figure>\n" +
                 table_html(table);
  Chart chart{
      .id = "step",
      .how_to_read =
          "Each point is a step: the upper line is all of its time, the lower one "
          "the part in which it stood still for rows.",
      .alternative = "Milliseconds of each step, and of its stalls",
      .x_title = "step",
      .y_title = "milliseconds",
      .x = steps_of(findings.lines),
      .series = {{"a step", 1,
                  each(findings.lines, [](const StepMetrics& line) { return line.times.step_ms; })},
                 {"stalls in it", 2, each(findings.lines, [](const StepMetrics& line) {
                    return line.times.stall_ms;
                  })}}};
  add_chart(section, std::move(chart));
  return section;
}

Section reads_section(const Findings& findings) {
  const ReadsByTier& reads = findings.report.reads;
  Section section{.id = "reads", .title = "Where rows were when they were read", .html = {}};
  if (reads.all() == 0) return section;
  struct Tier {
    const char* name;
    const char* meaning;
    double rows;
    Field field;
    int color;
  };
  const Tier tiers[] = {
      {"device", "there already", reads.device, Field::kFoundOnDevice, 1},
      {"host", "page-in from the host tier", reads.host, Field::kFoundInHost, 5},
      {"disk", "page-in from the disk", reads.disk, Field::kFoundOnDisk, 2},
      {"new", "generated: nothing had changed them", reads.untouched, Field::kFoundUntouched, 3}};
  Table table{.caption =
                  "Rows that forward passes of a step read, each once for each layer and "
                  "micro-batch",
              .head = {"tier", "rows", "share", "what it is"},
              .rows = {},
              .text_columns = 1};
  std::vector<BarPart> bar;
  Chart chart{.id = "reads",
              .how_to_read =
                  "At each step the bands show which share of all rows read was where; "
                  "what is not on the device had to be brought.",
              .alternative = "Share of the rows read that were in each tier, by step",
              .x_title = "step",
              .y_title = "share of the rows read",
              .x = steps_of(findings.lines),
              .series = {},
              .stacked = true,
              .percent = true};
  std::string alternative = "Shares of all rows read:";
  for (const Tier& tier : tiers) {
    bar.push_back({tier.name, tier.color, tier.rows / reads.all()});
    table.keys.push_back(tier.color);
    table.rows.push_back({tier.name, fmt::format("{:.1f}", tier.rows),
                          percent(tier.rows / reads.all(), 2), tier.meaning});
    alternative += fmt::format(" {} {},", tier.name, percent(tier.rows / reads.all(), 2));
    chart.series.push_back(
        {tier.name, tier.color, each(findings.lines, [&](const StepMetrics& line) {
           const Entry forward = line.books.total(Cause::kTraining, Pass::kForward);
           const auto all = double(forward[Field::kRowsLeased]);
           return all > 0 ? double(forward[tier.field]) / all : std::nan("");
         })});
  }
  alternative.pop_back();
  section.html = "<figure><figcaption>The whole bar is all rows that were read.</figcaption>" +
                 stacked_bar_svg(alternative, bar) + "</figure>\n" + table_html(table);
  add_chart(section, std::move(chart));
  return section;
}

// The most that the link of a move carries; 0: not known.
double ceiling_of(const std::string& move, const Ceilings& ceilings) {
  if (move == "host_to_device") return ceilings.host_to_device;
  if (move == "device_to_host") return ceilings.device_to_host;
  if (move == "disk_to_device" || move == "disk_to_host") return ceilings.disk_read;
  if (move == "device_to_disk" || move == "host_to_disk") return ceilings.disk_write;
  return 0;
}

Section rates_section(const Findings& findings) {
  Section section{.id = "rates", .title = "Page-in and write-back rates", .html = {}};
  const Ceilings ceilings = findings.notes ? findings.notes->ceilings : Ceilings{};
  Table table{.caption =
                  "Rows that moved, of a step; rates over all time, and while such moves were "
                  "under way",
              .head = {"move", "rows", "bytes", "of all time", "while under way",
                       "this machine's most", "share of it", "what it is"},
              .rows = {},
              .text_columns = 1};
  std::vector<Bar> bars;
  std::string alternative = "Shares of what the links carry at most:";
  for (const MoveRate& move : findings.report.moves) {
    if (move.rows == 0) continue;
    const double most = ceiling_of(move.name, ceilings);
    table.rows.push_back({move.name, fmt::format("{:.1f}", move.rows), io::human_bytes(move.bytes),
                          rate(move.bytes_per_s), rate(move.busy_bytes_per_s), rate(most),
                          most > 0 ? percent(move.busy_bytes_per_s / most) : "", move.meaning});
    if (most <= 0) continue;
    const double share = move.busy_bytes_per_s / most;
    bars.push_back(
        {move.name,
         fmt::format("{} of {}, {}", rate(move.busy_bytes_per_s), rate(most), percent(share)),
         move.name.ends_with("device") ? 1 : 2, share});
    alternative += fmt::format(" {} {},", move.name, percent(share));
  }
  if (table.rows.empty()) return section;
  alternative.pop_back();
  if (!bars.empty()) {
    section.html =
        "<figure><figcaption>Each outline is the most that the link of a move was measured, or "
        "declared, "
        "to carry on this machine; what is filled is how fast rows moved while such moves were "
        "under "
        "way.</figcaption>" +
        bars_svg(alternative, bars) + "</figure>\n";
  }
  section.html += table_html(table);
  return section;
}

Section prefetch_section(const Findings& findings) {
  Section section{.id = "prefetch", .title = "What prefetch changed", .html = {}};
  const RunReport& report = findings.report;
  const HintOutcome& hints = report.hints;
  const std::string kind = io::name_of(findings.config.tiers.prefetch);
  if (!findings.config.has_memory()) return section;
  section.html = paragraph("Rows were predicted by: " + kind + ".");
  if (hints.brought > 0) {
    section.html += table_html(
        {.caption = "Rows that hints brought, of a step",
         .head = {"rows that were", "rows", "of those brought"},
         .rows = {{"brought", fmt::format("{:.1f}", hints.brought), ""},
                  {"used", fmt::format("{:.1f}", hints.used), percent(hints.used / hints.brought)},
                  {"late", fmt::format("{:.1f}", hints.late), percent(hints.late / hints.brought)},
                  {"wasted", fmt::format("{:.1f}", hints.wasted),
                   percent(hints.wasted / hints.brought)}}});
  }
  if (findings.what_ifs) {
    Table table{.caption = "The same steps with other predictions, by replay",
                .head = {"predictions", "a step", "on the device", "from host", "from the disk"},
                .rows = {}};
    const auto add = [&](const std::string& name, double ms, const ReadsByTier& reads) {
      const double all = std::max(1.0, reads.all());
      table.rows.push_back({name, milliseconds(ms), percent(reads.device / all, 2),
                            percent(reads.host / all, 2), percent(reads.disk / all, 2)});
    };
    add("as it was: " + kind, report.step_ms, report.reads);
    for (const WhatIf& one : findings.what_ifs->settings) {
      const bool predicts = std::any_of(
          one.changes.begin(), one.changes.end(),
          [](const std::string& change) { return change.starts_with("tiers.prefetch="); });
      if (predicts) add(one.name, one.step_ms, one.reads);
    }
    if (table.rows.size() > 1) section.html += table_html(table);
  }
  if (report.predictors.empty()) return section;
  Table table{.caption = "How well each predictor named the rows that were read, by layer",
              .head = {"predictor", "layer", "rows a step", "recall", "at 1.5 x", "hottest rows",
                       "brought", "used", "late"},
              .rows = {}};
  for (const PredictorReport& one : report.predictors) {
    const memory::PredictionScore& score = one.sums.score;
    const auto steps = static_cast<double>(std::max<std::uint64_t>(1, score.steps));
    const auto of_a_step = [&](std::uint64_t rows) {
      return fmt::format("{:.1f}", static_cast<double>(rows) / steps);
    };
    table.rows.push_back({one.name, std::to_string(one.sums.layer), of_a_step(score.predicted),
                          percent(score.recall()), percent(score.recall_at(1)),
                          percent(score.hottest_recall_at(1)), of_a_step(one.sums.hints.brought),
                          of_a_step(one.sums.hints.used), of_a_step(one.sums.hints.late)});
  }
  section.html +=
      table_html(table) +
      "<p class=\"soft\">Recall is the share of the rows read that were among those "
      "predicted; at 1.5 x, when the predictor may name half as many again as were read, "
      "beside what the rows used most so far would reach.</p>\n";
  return section;
}

// The point at the budgets as they are, and the one at twice as many rows.
const MissPoint* point_at(const std::vector<MissPoint>& misses, std::uint64_t rows) {
  const MissPoint* best = nullptr;
  for (const MissPoint& point : misses) {
    const auto distance = [&](const MissPoint& p) {
      return p.rows > rows ? p.rows - rows : rows - p.rows;
    };
    if (best == nullptr || distance(point) < distance(*best)) best = &point;
  }
  return best;
}

Section misses_section(const Findings& findings) {
  Section section{.id = "misses", .title = "What more memory would buy", .html = {}};
  if (!findings.what_ifs || findings.what_ifs->misses.size() < 2) return section;
  const WhatIfs& told = *findings.what_ifs;
  const MissPoint* now = point_at(told.misses, told.rows_now);
  const MissPoint* twice = point_at(told.misses, 2 * told.rows_now);
  section.html = paragraph(fmt::format(
      "{} of the rows read were in neither tier of memory. {} with {} instead of {}, {} would be. "
      "Of these misses, {} are rows that are read for the first time or could only be kept by who "
      "knows the future.",
      percent(now->planned, 2), "Twice the memory buys:", io::human_bytes(double(twice->bytes)),
      io::human_bytes(double(now->bytes)), percent(twice->planned, 2), percent(now->belady, 2)));
  Chart chart{.id = "misses",
              .how_to_read =
                  "Left to right, device and host tier hold more rows; a curve shows which "
                  "share of the rows read would then still come from the disk or be new, "
                  "with this run's policies and with the best replacement there can be.",
              .alternative = "Share of rows read that miss memory, by rows that both tiers hold",
              .x_title = "rows that both tiers hold",
              .y_title = "share of rows read that miss",
              .x = {},
              .series = {{"this run's policies", 1, {}}, {"Belady, who knows the future", 3, {}}},
              .marks = {{static_cast<double>(told.rows_now), "now"},
                        {2 * static_cast<double>(told.rows_now), "twice"}},
              .percent = true,
              .log_x = true};
  for (const MissPoint& point : told.misses) {
    chart.x.push_back(static_cast<double>(point.rows));
    chart.series[0].values.push_back(point.planned);
    chart.series[1].values.push_back(point.belady);
  }
  add_chart(section, std::move(chart));
  return section;
}

Section latency_section(const Findings& findings) {
  Section section{.id = "latency", .title = "How long the disk took", .html = {}};
  Table table{.caption = "Disk transfers by queue, from when the system got them to their end",
              .head = {"queue", "transfers", "median", "90%", "99%", "longest"},
              .rows = {}};
  Chart chart{.id = "latency",
              .how_to_read =
                  "Each curve shows which share of a queue's transfers took about so long; "
                  "further right is slower. Demand reads are those that a step waits for.",
              .alternative = "Shares of transfers by how long they took, for each queue",
              .x_title = "microseconds",
              .y_title = "share of the queue's transfers",
              .x = {},
              .series = {},
              .percent = true,
              .log_x = true};
  std::size_t first = offload::LatencyCounts::kBuckets, last = 0;
  const auto each_queue = [&](const auto& use) {
    for (std::size_t i = 0; i < offload::kDiskQueues; ++i) {
      const offload::LatencyCounts& counts = findings.report.disk_latencies.queues[i];
      if (counts.transfers() > 0) use(i, counts);
    }
  };
  each_queue([&](std::size_t, const offload::LatencyCounts& counts) {
    for (std::size_t bucket = 1; bucket < counts.counts().size(); ++bucket) {
      if (counts.counts()[bucket] == 0) continue;
      first = std::min(first, bucket);
      last = std::max(last, bucket);
    }
  });
  if (first > last) return section;
  for (std::size_t bucket = first; bucket <= last; ++bucket) {
    chart.x.push_back(static_cast<double>(offload::LatencyCounts::least_us(bucket)));
  }
  each_queue([&](std::size_t i, const offload::LatencyCounts& counts) {
    const std::string name(io::name_of(static_cast<offload::DiskQueue>(i)));
    const auto us = [&](double share) { return fmt::format("{:.0f} us", counts.quantile(share)); };
    table.rows.push_back(
        {name, std::to_string(counts.transfers()), us(.5), us(.9), us(.99), us(1)});
    Series series{name, static_cast<int>(i) + 1, {}};
    for (std::size_t bucket = first; bucket <= last; ++bucket) {
      series.values.push_back(static_cast<double>(counts.counts()[bucket]) /
                              static_cast<double>(counts.transfers()));
    }
    chart.series.push_back(std::move(series));
  });
  section.html = table_html(table);
  add_chart(section, std::move(chart));
  return section;
}

Section usage_section(const Findings& findings) {
  Section section{.id = "usage", .title = "How unevenly rows are used", .html = {}};
  if (!findings.usage || findings.usage->all.uses == 0) return section;
  Table table{.caption = "Uses of rows by layer, of all steps of the trace",
              .head = {"layer", "uses", "rows used", "of the table", "Gini", "top 1% of rows have",
                       "top 10% have", "median rows until a row comes again"},
              .rows = {}};
  Chart chart{.id = "usage",
              .how_to_read =
                  "Rows stand from the most used one to the least; the steeper a curve "
                  "falls, the more a small tier can hold of all uses.",
              .alternative = "Uses of a row by its rank, for each layer",
              .x_title = "rank of the row",
              .y_title = "uses",
              .x = {},
              .series = {},
              .log_x = true,
              .log_y = true};
  const auto add_row = [&](const std::string& name, const offload::RowUsage& usage) {
    table.rows.push_back(
        {name, std::to_string(usage.uses), std::to_string(usage.used_rows),
         percent(double(usage.used_rows) / double(std::max<std::uint64_t>(1, usage.table_rows)), 2),
         fmt::format("{:.3f}", usage.gini), percent(usage.top_1), percent(usage.top_10),
         fmt::format("{:.0f}", usage.reuse_rows.p50)});
  };
  // Ranks are powers of two, and the last one of each layer.
  for (const auto& [layer, usage] : findings.usage->by_layer) {
    for (const auto& [rank, uses] : usage.uses_by_rank) chart.x.push_back(double(rank));
  }
  std::sort(chart.x.begin(), chart.x.end());
  chart.x.erase(std::unique(chart.x.begin(), chart.x.end()), chart.x.end());
  int color = 0;
  for (const auto& [layer, usage] : findings.usage->by_layer) {
    add_row(std::to_string(layer), usage);
    color = color % 8 + 1;
    Series series{fmt::format("layer {}", layer), color,
                  std::vector<double>(chart.x.size(), std::nan(""))};
    for (const auto& [rank, uses] : usage.uses_by_rank) {
      const auto at = std::lower_bound(chart.x.begin(), chart.x.end(), double(rank));
      series.values[static_cast<std::size_t>(at - chart.x.begin())] = double(uses);
    }
    chart.series.push_back(std::move(series));
  }
  if (findings.usage->by_layer.size() > 1) add_row("all", findings.usage->all);
  section.html = table_html(table);
  add_chart(section, std::move(chart));
  return section;
}

Section loss_section(const Findings& findings) {
  Section section{.id = "loss", .title = "Loss and speed", .html = {}};
  add_chart(section, loss_chart(findings));
  add_chart(section, speed_chart(findings));
  return section;
}

Section setting_section(const Findings& findings) {
  Section section{.id = "settings", .title = "Configuration and machine", .html = {}};
  if (findings.notes) {
    const ProfileNotes& notes = *findings.notes;
    section.html = table_html({.caption = "Where and when it was measured",
                               .head = {"what", "as measured"},
                               .rows = {{"machine", notes.machine},
                                        {"device", notes.device},
                                        {"date", notes.date + " UTC"},
                                        {"mneme", notes.version}},
                               .text_columns = 1});
  }
  section.html += "<details><summary>The configuration</summary><pre>" +
                  escape(engine::to_toml(findings.config)) + "</pre></details>\n";
  return section;
}

}  // namespace

Chart loss_chart(const Findings& findings) {
  Chart chart{.id = "loss",
              .how_to_read =
                  "Lower is better: nats a token of each training step, and of the "
                  "validation part where it was evaluated.",
              .alternative = "Loss by step",
              .x_title = "step",
              .y_title = "loss, nats a token",
              .x = steps_of(findings.lines),
              .series = {{"training", 1,
                          each(findings.lines, [](const StepMetrics& line) { return line.loss; })}},
              .from_zero = false};
  const auto validated = [](const StepMetrics& line) { return line.validation_loss.has_value(); };
  if (std::any_of(findings.lines.begin(), findings.lines.end(), validated)) {
    chart.series.push_back({"validation", 2, each(findings.lines, [](const StepMetrics& line) {
                              return line.validation_loss.value_or(std::nan(""));
                            })});
  }
  return chart;
}

Chart speed_chart(const Findings& findings) {
  return {.id = "speed",
          .how_to_read = "Higher is better: tokens a second of each step.",
          .alternative = "Tokens a second by step",
          .x_title = "step",
          .y_title = "tokens a second",
          .x = steps_of(findings.lines),
          .series = {{"tokens/s", 1, each(findings.lines, [](const StepMetrics& line) {
                        return line.tokens_per_s;
                      })}}};
}

std::vector<Section> sections_of(const Findings& findings) {
  std::vector<Section> sections;
  for (const auto make :
       {what_if_section, time_section, reads_section, rates_section, prefetch_section,
        misses_section, latency_section, usage_section, loss_section, setting_section}) {
    Section section = make(findings);
    if (!section.html.empty()) sections.push_back(std::move(section));
  }
  return sections;
}

}  // namespace mneme::report
