// Sections of what replays of the trace answer, and of how its rows are used.
#include <algorithm>
#include <cmath>

#include "io/enum_names.h"
#include "io/human.h"
#include "tools/report/page_parts.h"

namespace mneme::report {
namespace {

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

}  // namespace

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

Section misses_section(const Findings& findings) {
  Section section{.id = "misses", .title = "What more memory would buy", .html = {}};
  if (!findings.what_ifs || findings.what_ifs->misses.size() < 2) return section;
  const WhatIfs& told = *findings.what_ifs;
  const MissPoint* now = point_at(told.misses, told.rows_now);
  const MissPoint* twice = point_at(told.misses, 2 * told.rows_now);
  section.html = paragraph(fmt::format(
      "{} of the rows read were in neither tier of memory, whose budgets are {}. Twice the memory, "
      "{}, "
      "would leave {}. With the memory as it is, replacement that knows the future would leave {}.",
      percent(now->planned, 2), io::human_bytes(double(now->bytes)),
      io::human_bytes(double(twice->bytes)), percent(twice->planned, 2), percent(now->belady, 2)));
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

}  // namespace mneme::report
