// Pieces of the page: text, tables, bars, charts. All text that comes in is escaped.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::report {

std::string escape(std::string_view text);

// A table that scrolls where it is too wide. The first column is text; `text_columns` of the last
// ones, too.
struct Table {
  std::string caption;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;  // text
  std::vector<int> keys = {};                  // of each row: the colour of its key, 0 for none
  std::size_t text_columns = 0;
};
std::string table_html(const Table& table);

// A table whose cells are shaded by their values.
struct HeatMap {
  std::string caption;
  std::string corner;  // what rows and columns are
  std::vector<std::string> columns, rows;
  std::vector<std::vector<double>> values;  // [rows][columns]; NaN where there is none
};
std::string heat_map_html(const HeatMap& map);

// One bar of parts that lie behind each other; their widths are shares of the whole.
struct BarPart {
  std::string name;
  int color = 1;  // 1 to 8
  double share = 0;
};
std::string stacked_bar_svg(const std::string& alternative, const std::vector<BarPart>& parts);

// Bars below each other, each filled by a share of its outline.
struct Bar {
  std::string name, value;
  int color = 1;
  double share = 0;
};
std::string bars_svg(const std::string& alternative, const std::vector<Bar>& bars);

// Curves over one axis. The page's script draws them.
struct Series {
  std::string name;
  int color = 1;
  std::vector<double> values;  // [x.size()]; NaN where there is none
  // Of each value: the least and the most that it stands for, drawn as a line through its point.
  std::vector<double> low = {}, high = {};
  std::vector<std::string> names = {};  // of each point, in place of the series' own
  bool is_points = false;               // no line between them
};
struct Mark {
  double x = 0;
  std::string text;
};
struct Chart {
  std::string id;           // of letters
  std::string how_to_read;  // a sentence
  std::string alternative;  // what the curves show, for who does not see them
  std::string x_title, y_title;
  std::vector<double> x;  // ascending
  std::vector<Series> series;
  std::vector<Mark> marks = {};
  // Where x has no measure: what stands there, x being 0, 1, ...
  std::vector<std::string> x_labels = {};
  bool stacked = false, percent = false, log_x = false, log_y = false, from_zero = true;
};
// The most points of a curve.
inline constexpr std::size_t kMostPoints = 2000;
// Means of neighbours, where there are more points than that.
void bin(Chart& chart);
// With the numbers as a table behind it.
std::string chart_html(const Chart& chart);
std::string charts_json(const std::vector<Chart>& charts);

// For a <script> of data: it cannot end there.
std::string for_script(std::string json);

}  // namespace mneme::report
