#include "tools/report/page_sections.h"

#include <algorithm>
#include <cmath>

#include "tools/report/page_parts.h"

namespace mneme::report {

using engine::StepMetrics;

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
