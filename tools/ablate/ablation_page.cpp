#include "tools/ablate/ablation_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/human.h"
#include "tools/ablate/ablation_best.h"
#include "tools/ablate/ablation_formats.h"
#include "tools/ablate/answers.h"
#include "tools/report/page.h"

namespace mneme::ablate {
namespace {

using report::Chart;
using report::Section;
using report::Series;

constexpr std::size_t kMostCurves = 8;
constexpr std::size_t kMostHeatMaps = 6;
constexpr int kColors = 8;

std::string joined(const std::vector<std::string>& parts, const char* between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : between) + part;
  return text;
}

std::string axis_title(const Axis& axis) {
  return joined(short_names(axis.keys), " and ");
}

std::string label_of(const Axis& axis, std::size_t value) {
  std::vector<std::string> parts;
  for (const auto& values : axis.values) parts.push_back(shown(values[value]));
  return joined(parts, ", ");
}

std::vector<std::string> labels_of(const Axis& axis) {
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < axis.size(); ++i) labels.push_back(label_of(axis, i));
  return labels;
}

// Axes with a choice.
std::vector<std::size_t> open_axes(const Grid& grid) {
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < grid.axes.size(); ++i) {
    if (grid.axes[i].size() > 1) open.push_back(i);
  }
  return open;
}

// What is drawn over the axes: the speed, the stalls, and what the grid asks for.
std::vector<Column> drawn_columns(const Ablation& ablation) {
  std::vector<Column> drawn;
  const std::vector<std::string>& asked = ablation.grid().table;
  for (const Column& column : columns_of(ablation)) {
    const bool is_asked = std::find(asked.begin(), asked.end(), column.number) != asked.end();
    if (column.number == "tokens_per_s" || column.number == "stall_share" || is_asked) {
      drawn.push_back(column);
    }
  }
  return drawn;
}

struct Curve {
  std::string name;
  std::vector<std::size_t> cells;
};
using Curves = std::vector<Curve>;

// Cells that differ on that axis alone, each curve named by what its cells have in common.
Curves curves_over(const Grid& grid, std::size_t axis) {
  Curves curves;
  for (std::size_t cell = 0; cell < grid.cells.size(); ++cell) {
    std::vector<std::string> parts;
    for (const std::size_t other : open_axes(grid)) {
      if (other == axis) continue;
      parts.push_back(axis_title(grid.axes[other]) + " " +
                      label_of(grid.axes[other], grid.cells[cell].at[other]));
    }
    const std::string name = joined(parts, ", ");
    const auto found = std::find_if(curves.begin(), curves.end(),
                                    [&](const Curve& one) { return one.name == name; });
    Curve& curve = found != curves.end() ? *found : curves.emplace_back(Curve{name, {}});
    curve.cells.push_back(cell);
  }
  return curves;
}

// One curve through the cells, with the spread of each; over several cells at one place it is the
// median of their medians.
Series curve(const Ablation& ablation, const std::vector<std::size_t>& cells, std::size_t axis,
             const Column& column, std::string name, int color) {
  const Grid& grid = ablation.grid();
  const std::size_t size = grid.axes[axis].size();
  std::vector<std::vector<double>> medians(size);
  const double none = std::nan("");
  Series series{.name = std::move(name), .color = color, .values = {}};
  series.low.assign(size, none);
  series.high.assign(size, none);
  for (const std::size_t cell : cells) {
    const auto spread = spread_of(ablation, cell, column.number);
    if (!spread) continue;
    const std::size_t at = grid.cells[cell].at[axis];
    medians[at].push_back(spread->median * column.factor);
    series.low[at] = std::fmin(series.low[at], spread->least * column.factor);
    series.high[at] = std::fmax(series.high[at], spread->most * column.factor);
  }
  for (auto& values : medians) series.values.push_back(median_of(std::move(values)));
  return series;
}

Section axis_section(const Ablation& ablation, std::size_t number) {
  const Grid& grid = ablation.grid();
  const Axis& axis = grid.axes[number];
  Section section{
      .id = fmt::format("axis-{}", number), .title = "Over " + axis_title(axis), .html = {}};
  auto curves = curves_over(grid, number);
  const bool is_folded = curves.size() > kMostCurves;
  if (is_folded) {
    std::vector<std::size_t> all(grid.cells.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    curves = {{"all cells", std::move(all)}};
  }
  std::size_t chart_number = 0;
  for (const Column& column : drawn_columns(ablation)) {
    Chart chart{
        .id = fmt::format("axis{}column{}", number, chart_number++),
        .how_to_read =
            is_folded
                ? fmt::format("Each point is the median over all cells with that {}, the line "
                              "through it reaches from their slowest to their fastest run.",
                              axis_title(axis))
                : "Each point is a cell, the median of its runs; the line through it reaches "
                  "from the least run to the most. Cells of a curve differ in nothing else.",
        .alternative = fmt::format("{} over {}", column.title, axis_title(axis)),
        .x_title = axis_title(axis),
        .y_title = column.title,
        .x = {},
        .series = {},
        .x_labels = labels_of(axis)};
    if (is_predicted(column.number) && !replays_in_words(ablation).empty()) {
      chart.how_to_read += " Those of replayed cells are predicted.";
    }
    for (std::size_t i = 0; i < axis.size(); ++i) chart.x.push_back(static_cast<double>(i));
    int color = 0;
    for (const auto& [name, cells] : curves) {
      chart.series.push_back(curve(ablation, cells, number, column,
                                   name.empty() ? column.title : name, 1 + color++ % kColors));
    }
    section.html += report::chart_html(chart);
    section.charts.push_back(std::move(chart));
  }
  return section;
}

Section heat_section(const Ablation& ablation) {
  const Grid& grid = ablation.grid();
  Section section{.id = "pairs", .title = "Two axes at once", .html = {}};
  const std::vector<std::size_t> open = open_axes(grid);
  std::size_t maps = 0;
  for (std::size_t first = 0; first < open.size(); ++first) {
    for (std::size_t second = first + 1; second < open.size() && maps < kMostHeatMaps; ++second) {
      ++maps;
      const Axis& down = grid.axes[open[first]];
      const Axis& across = grid.axes[open[second]];
      report::HeatMap map{
          .caption = fmt::format(
              "Tokens/s by {} (down) and {} (across){}; the stronger the colour, the faster",
              axis_title(down), axis_title(across),
              open.size() > 2 ? ", medians over the other axes" : ""),
          .corner = axis_title(down) + " \\ " + axis_title(across),
          .columns = labels_of(across),
          .rows = labels_of(down),
          .values = {}};
      std::vector<std::vector<std::vector<double>>> found(
          down.size(), std::vector<std::vector<double>>(across.size()));
      for (std::size_t cell = 0; cell < grid.cells.size(); ++cell) {
        const auto speed = spread_of(ablation, cell, "tokens_per_s");
        const auto& at = grid.cells[cell].at;
        if (speed) found[at[open[first]]][at[open[second]]].push_back(speed->median);
      }
      for (auto& row : found) {
        map.values.emplace_back();
        for (auto& values : row) map.values.back().push_back(median_of(std::move(values)));
      }
      section.html += report::heat_map_html(map);
    }
  }
  return section;
}

// Nothing where all cells cost the same.
void add_front(const Ablation& ablation, Cost cost, const char* id, const char* x_title,
               Section& section) {
  const std::vector<CellPoint> points = points_of(ablation, cost);
  if (points.empty() || points.front().cost == points.back().cost) return;
  const Grid& grid = ablation.grid();
  Chart chart{
      .id = id,
      .how_to_read =
          "Each point is a cell. Those on the line are worth their cost: no other cell is as "
          "fast for as little.",
      .alternative = fmt::format("Tokens/s against {} of each cell", x_title),
      .x_title = x_title,
      .y_title = "tokens/s",
      .x = {},
      .series = {{.name = "on the Pareto front", .color = 2, .values = {}},
                 {.name = "the others", .color = 1, .values = {}, .is_points = true}}};
  for (const CellPoint& point : points) {
    chart.x.push_back(point.cost);
    const std::string name = cell_name(grid, grid.cells[point.cell]);
    for (Series& series : chart.series) {
      const bool is_here = series.is_points != point.is_on_front;
      series.values.push_back(is_here ? point.tokens_per_s : std::nan(""));
      series.names.push_back(name);
    }
  }
  section.html += report::chart_html(chart);
  section.charts.push_back(std::move(chart));
}

Section cells_section(const Ablation& ablation) {
  const Grid& grid = ablation.grid();
  Section section{.id = "cells", .title = "Every cell", .html = {}};
  report::Table table{.caption = "Medians of the runs; rows and bytes of a step",
                      .head = {"cell", "runs"},
                      .rows = {},
                      .text_columns = 1};
  const std::vector<Column> columns = columns_of(ablation);
  for (const Column& column : columns) table.head.push_back(column.title);
  table.head.push_back("what it said");
  for (std::size_t cell = 0; cell < grid.cells.size(); ++cell) {
    const auto runs = ablation.results_of(cell);
    const auto done = std::count_if(runs.begin(), runs.end(), [](const RunResult* run) {
      return run->outcome == Outcome::kDone;
    });
    std::vector<std::string> row = {cell_name(grid, grid.cells[cell]), runs_text(ablation, cell)};
    for (const Column& column : columns) row.push_back(cell_text(ablation, cell, column));
    const bool has_failed = done < static_cast<std::ptrdiff_t>(runs.size());
    row.push_back(has_failed || runs.empty() ? failure_of(runs) : "");
    table.rows.push_back(std::move(row));
  }
  section.html = report::table_html(table);
  return section;
}

}  // namespace

std::string ablation_page(const Ablation& ablation) {
  const Grid& grid = ablation.grid();
  std::size_t done = 0, all = 0;
  for (const PlannedRun& run : ablation.runs()) {
    if (ablation.is_of_replayed_cell(run)) continue;
    ++all;
    done += ablation.result(run) != nullptr ? 1 : 0;
  }
  std::vector<std::string> words = best_in_words(ablation);
  if (words.empty()) words = {"No run is done yet."};
  std::string top = fmt::format(
      "<p class=\"soft\">{}, {} cells of {}, {} of {} runs</p>\n<h1>{}</h1><div class=\"verdict\">",
      report::escape(grid.directory), grid.cells.size(), report::escape(grid.config), done, all,
      report::escape("An ablation over " + joined(short_names(grid.varied), ", ")));
  for (const std::string& one : replays_in_words(ablation)) words.push_back(one);
  for (const std::string& one : words) top += "<p>" + report::escape(one) + "</p>";
  top += "</div>\n";
  std::vector<Section> sections;
  if (done > 0) {
    for (const std::size_t axis : open_axes(grid)) {
      sections.push_back(axis_section(ablation, axis));
    }
    Section front{.id = "front", .title = "What speed costs", .html = {}};
    add_front(ablation, Cost::kDeviceBytes, "frontdevice", "device bytes of the table", front);
    add_front(ablation, Cost::kBytesMoved, "frontmoved", "bytes moved over links, a token", front);
    for (Section& section : std::vector<Section>{heat_section(ablation), std::move(front)}) {
      if (!section.html.empty()) sections.push_back(std::move(section));
    }
  }
  sections.push_back(cells_section(ablation));
  return report::page_of("mneme: " + grid.directory, top, sections, ablation_json(ablation));
}

}  // namespace mneme::ablate
