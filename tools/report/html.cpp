#include "tools/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace mneme::report {
namespace {

// Rows of the table behind a chart.
constexpr std::size_t kMostTableRows = 25;

std::string number(double value, bool percent) {
  if (std::isnan(value)) return "";
  if (percent) return fmt::format("{:.2f}%", 100 * value);
  if (value != 0 && std::abs(value) < 1000) return fmt::format("{:.4g}", value);
  return fmt::format("{:.0f}", value);
}

void bin_values(std::vector<double>& values, std::size_t width) {
  std::vector<double> means;
  for (std::size_t first = 0; first < values.size(); first += width) {
    double sum = 0, count = 0;
    for (std::size_t i = first; i < std::min(first + width, values.size()); ++i) {
      if (std::isnan(values[i])) continue;
      sum += values[i];
      ++count;
    }
    means.push_back(count > 0 ? sum / count : std::nan(""));
  }
  values = std::move(means);
}

std::string data_table(const Chart& chart) {
  Table table{.caption = chart.alternative, .head = {chart.x_title}, .rows = {}};
  for (const Series& series : chart.series) table.head.push_back(series.name);
  const std::size_t step =
      std::max<std::size_t>(1, (chart.x.size() + kMostTableRows - 1) / kMostTableRows);
  for (std::size_t i = 0; i < chart.x.size(); i += step) {
    std::vector<std::string> row = {i < chart.x_labels.size() ? chart.x_labels[i]
                                                              : number(chart.x[i], false)};
    for (const Series& series : chart.series) {
      std::string text = number(series.values[i], chart.percent);
      if (i < series.low.size() && series.low[i] < series.high[i]) {
        text += fmt::format(" ({} to {})", number(series.low[i], chart.percent),
                            number(series.high[i], chart.percent));
      }
      if (i < series.names.size() && !text.empty()) text += ": " + series.names[i];
      row.push_back(std::move(text));
    }
    table.rows.push_back(std::move(row));
  }
  return table_html(table);
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += letter;
    }
  }
  return out;
}

std::string table_html(const Table& table) {
  std::string out = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" +
                    escape(table.caption) + "\"><table><caption>" + escape(table.caption) +
                    "</caption><thead><tr>";
  const std::size_t columns = table.head.size();
  const auto is_text = [&](std::size_t column) {
    return column > 0 && column + table.text_columns >= columns;
  };
  for (std::size_t i = 0; i < columns; ++i) {
    out += fmt::format("<th scope=\"col\"{}>{}</th>", is_text(i) ? " class=\"text\"" : "",
                       escape(table.head[i]));
  }
  out += "</tr></thead><tbody>";
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    out += "<tr>";
    for (std::size_t column = 0; column < columns; ++column) {
      const std::string text =
          column < table.rows[i].size() ? escape(table.rows[i][column]) : std::string();
      if (column == 0) {
        const int key = i < table.keys.size() ? table.keys[i] : 0;
        out += "<th scope=\"row\">";
        if (key > 0) out += fmt::format("<span class=\"key k{}\"></span>", key);
        out += text + "</th>";
      } else {
        out += fmt::format("<td{}>{}</td>", is_text(column) ? " class=\"text\"" : "", text);
      }
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div>\n";
}

std::string heat_map_html(const HeatMap& map) {
  double least = std::nan(""), most = std::nan("");
  for (const auto& row : map.values) {
    for (const double value : row) {
      least = std::fmin(least, value);
      most = std::fmax(most, value);
    }
  }
  std::string out = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" +
                    escape(map.caption) + "\"><table class=\"heat\"><caption>" +
                    escape(map.caption) + "</caption><thead><tr><th scope=\"col\">" +
                    escape(map.corner) + "</th>";
  for (const std::string& column : map.columns) {
    out += "<th scope=\"col\">" + escape(column) + "</th>";
  }
  out += "</tr></thead><tbody>";
  for (std::size_t row = 0; row < map.rows.size(); ++row) {
    out += "<tr><th scope=\"row\">" + escape(map.rows[row]) + "</th>";
    for (const double value : map.values[row]) {
      if (std::isnan(value)) {
        out += "<td>-</td>";
        continue;
      }
      const double share = most > least ? (value - least) / (most - least) : 0;
      out += fmt::format("<td style=\"--share:{:.3f}\">{}</td>", share, number(value, false));
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div>\n";
}

std::string stacked_bar_svg(const std::string& alternative, const std::vector<BarPart>& parts) {
  constexpr double kWidth = 1000;
  std::string out = fmt::format(
      "<svg viewBox=\"0 0 {} 44\" role=\"img\" aria-label=\"{}\" preserveAspectRatio=\"none\" "
      "style=\"height:2.75rem\">",
      kWidth, escape(alternative));
  double at = 0;
  for (const BarPart& part : parts) {
    const double width = kWidth * std::max(0.0, part.share);
    if (width > 0) {
      out += fmt::format(
          "<rect class=\"k{}\" x=\"{:.2f}\" y=\"2\" width=\"{:.2f}\" height=\"40\"><title>{} "
          "{:.1f}%</title></rect>",
          part.color, at, width, escape(part.name), 100 * part.share);
    }
    at += width;
  }
  return out + "</svg>\n";
}

std::string bars_svg(const std::string& alternative, const std::vector<Bar>& bars) {
  std::string out = "<div role=\"img\" aria-label=\"" + escape(alternative) + "\" class=\"bars\">";
  for (const Bar& bar : bars) {
    out += fmt::format(
        "<span>{}: {}</span><svg height=\"18\"><rect class=\"k{}\" y=\"1\" height=\"16\" "
        "width=\"{:.2f}%\"/><rect class=\"outline\" x=\"1\" y=\"1\" height=\"16\" "
        "width=\"99.5%\"/></svg>",
        escape(bar.name), escape(bar.value), bar.color, 100 * std::clamp(bar.share, 0.0, 1.0));
  }
  return out + "</div>\n";
}

void bin(Chart& chart) {
  const std::size_t width = (chart.x.size() + kMostPoints - 1) / kMostPoints;
  if (width <= 1) return;
  bin_values(chart.x, width);
  for (Series& series : chart.series) bin_values(series.values, width);
}

std::string chart_html(const Chart& chart) {
  return fmt::format(
             "<figure><figcaption>{}</figcaption><div class=\"chart\"><canvas id=\"chart-{}\" "
             "role=\"img\" aria-label=\"{}\"></canvas></div><details><summary>The numbers of "
             "this chart</summary>",
             escape(chart.how_to_read), chart.id, escape(chart.alternative)) +
         data_table(chart) + "</details></figure>\n";
}

std::string charts_json(const std::vector<Chart>& charts) {
  using Json = nlohmann::ordered_json;
  const auto rounded = [](const std::vector<double>& values) {
    Json array = Json::array();
    for (const double value : values) {
      if (std::isnan(value)) {
        array.push_back(nullptr);
      } else {
        array.push_back(std::stod(fmt::format("{:.5g}", value)));
      }
    }
    return array;
  };
  Json array = Json::array();
  for (const Chart& chart : charts) {
    Json object = {
        {"id", chart.id},           {"x_title", chart.x_title},     {"y_title", chart.y_title},
        {"stacked", chart.stacked}, {"percent", chart.percent},     {"log_x", chart.log_x},
        {"log_y", chart.log_y},     {"from_zero", chart.from_zero}, {"x", rounded(chart.x)},
        {"series", Json::array()},  {"marks", Json::array()}};
    if (!chart.x_labels.empty()) object["x_labels"] = chart.x_labels;
    for (const Series& series : chart.series) {
      Json one = {
          {"name", series.name}, {"color", series.color}, {"values", rounded(series.values)}};
      if (!series.low.empty()) {
        one["low"] = rounded(series.low);
        one["high"] = rounded(series.high);
      }
      if (!series.names.empty()) one["names"] = series.names;
      if (series.is_points) one["is_points"] = true;
      object["series"].push_back(std::move(one));
    }
    for (const Mark& mark : chart.marks) {
      object["marks"].push_back({{"x", mark.x}, {"text", mark.text}});
    }
    array.push_back(std::move(object));
  }
  return array.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string for_script(std::string json) {
  for (std::size_t at = json.find("</"); at != json.npos; at = json.find("</", at + 3)) {
    json.replace(at, 2, "<\\/");
  }
  return json;
}

}  // namespace mneme::report
