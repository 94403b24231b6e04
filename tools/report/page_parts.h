// What the files of the page's sections share. For them alone.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "tools/report/page_sections.h"
#include "tools/report/words.h"

namespace mneme::report {

// ---- The sections: page_measured.cpp, page_replayed.cpp.
Section what_if_section(const Findings& findings);
Section time_section(const Findings& findings);
Section reads_section(const Findings& findings);
Section rates_section(const Findings& findings);
Section prefetch_section(const Findings& findings);
Section misses_section(const Findings& findings);
Section latency_section(const Findings& findings);
Section usage_section(const Findings& findings);
Section loss_section(const Findings& findings);
Section setting_section(const Findings& findings);

inline std::string milliseconds(double ms) {
  return fmt::format("{:.2f} ms", ms);
}

inline std::string paragraph(const std::string& text) {
  return "<p>" + escape(text) + "</p>\n";
}

inline void add_chart(Section& section, Chart chart) {
  bin(chart);
  section.html += chart_html(chart);
  section.charts.push_back(std::move(chart));
}

inline std::vector<double> steps_of(const std::vector<engine::StepMetrics>& lines) {
  std::vector<double> steps;
  for (const engine::StepMetrics& line : lines) steps.push_back(static_cast<double>(line.step));
  return steps;
}

template <typename Value>
std::vector<double> each(const std::vector<engine::StepMetrics>& lines, const Value& value) {
  std::vector<double> values;
  for (const engine::StepMetrics& line : lines) values.push_back(value(line));
  return values;
}

}  // namespace mneme::report
