#include "tools/report/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "tools/report/page_parts.h"
#include "tools/report/report_formats.h"

namespace mneme::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kJsonMark = R"({"mneme_comparison":1,)";

// Numbers in the order in which they stand; parts of lists by their names, so that the same thing
// has the same name in both runs.
void flatten(const Json& json, const std::string& name,
             std::vector<std::pair<std::string, double>>& out) {
  if (json.is_number()) {
    out.emplace_back(name, json.get<double>());
  } else if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      flatten(value, name.empty() ? key : name + "." + key, out);
    }
  } else if (json.is_array()) {
    for (std::size_t i = 0; i < json.size(); ++i) {
      const Json& one = json[i];
      std::string part = std::to_string(i);
      if (one.is_object() && one.contains("name")) {
        part = one.at("name").get<std::string>();
      } else if (one.is_object() && one.contains("predictor")) {
        part = one.at("predictor").get<std::string>();
        for (const char* key : {"layer", "distance"}) {
          if (one.contains(key)) part += fmt::format(" {} {}", key, one.at(key).get<int>());
        }
      }
      flatten(one, name + "." + part, out);
    }
  }
}

std::string difference(const ComparedNumber& number) {
  if (number.first == 0 || number.second == number.first) return "";
  const double change = number.second / number.first - 1;
  return std::abs(change) < 10 ? fmt::format("{:+.1f}%", 100 * change)
                               : fmt::format("x {:.3g}", number.second / number.first);
}

std::string text_of(double value) {
  return std::abs(value) < 1000 ? fmt::format("{:.4g}", value) : fmt::format("{:.0f}", value);
}

// What is compared first of all.
const std::vector<std::pair<const char*, const char*>>& headlines() {
  static const std::vector<std::pair<const char*, const char*>> kNames = {
      {"step_ms", "a step, ms"},
      {"tokens_per_s", "tokens/s"},
      {"loss", "mean loss"},
      {"reads.device", "rows read on the device"},
      {"reads.host", "from the host tier"},
      {"reads.disk", "from the disk"},
      {"reads.untouched", "new"},
      {"moves.host_to_device.busy_bytes_per_s", "host to device, bytes/s under way"},
      {"moves.disk_to_device.busy_bytes_per_s", "disk to device, bytes/s under way"},
      {"hints.used", "rows of hints used"}};
  return kNames;
}

const ComparedNumber* number_named(const std::vector<ComparedNumber>& numbers,
                                   const std::string& name) {
  const auto found = std::find_if(numbers.begin(), numbers.end(),
                                  [&](const ComparedNumber& one) { return one.name == name; });
  return found == numbers.end() ? nullptr : &*found;
}

// The first curve of each over the other, by step.
Chart over_each_other(Chart first, const Chart& second, const Findings& a, const Findings& b) {
  std::map<double, std::pair<double, double>> points;
  const double none = std::nan("");
  for (std::size_t i = 0; i < first.x.size(); ++i) {
    points[first.x[i]] = {first.series[0].values[i], none};
  }
  for (std::size_t i = 0; i < second.x.size(); ++i) {
    points.try_emplace(second.x[i], none, none).first->second.second = second.series[0].values[i];
  }
  first.x.clear();
  first.series = {{"A: " + a.directory, 1, {}}, {"B: " + b.directory, 2, {}}};
  for (const auto& [x, values] : points) {
    first.x.push_back(x);
    first.series[0].values.push_back(values.first);
    first.series[1].values.push_back(values.second);
  }
  bin(first);
  return first;
}

Chart step_chart(const Findings& findings) {
  return {.id = "step",
          .how_to_read = "Lower is better: milliseconds of each step.",
          .alternative = "Milliseconds of each step",
          .x_title = "step",
          .y_title = "milliseconds",
          .x = steps_of(findings.lines),
          .series = {{"", 1, each(findings.lines, [](const engine::StepMetrics& line) {
                        return line.times.step_ms;
                      })}}};
}

double brought_share(const engine::StepMetrics& line) {
  const ReadsByTier reads =
      reads_of(line.books.total(offload::Cause::kTraining, offload::Pass::kForward), 1);
  return reads.all() > 0 ? 1 - reads.device / reads.all() : std::nan("");
}

Chart misses_chart(const Findings& findings) {
  return {.id = "brought",
          .how_to_read =
              "Lower is better: the share of the rows read that were not on the device and had to "
              "be brought.",
          .alternative = "Share of rows read that had to be brought, by step",
          .x_title = "step",
          .y_title = "share of the rows read",
          .x = steps_of(findings.lines),
          .series = {{"", 1, each(findings.lines, brought_share)}},
          .percent = true};
}

std::vector<std::string> row_of(const ComparedNumber& number, const std::string& name) {
  return {name, text_of(number.first), text_of(number.second), difference(number)};
}

std::vector<Section> sections(const Findings& first, const Findings& second) {
  const std::vector<ComparedNumber> numbers = compared(first, second);
  Table some{.caption = "The numbers that matter most",
             .head = {"number", "A", "B", "B against A"},
             .rows = {}};
  for (const auto& [name, words] : headlines()) {
    const ComparedNumber* const number = number_named(numbers, name);
    if (number != nullptr && (number->first != 0 || number->second != 0)) {
      some.rows.push_back(row_of(*number, words));
    }
  }
  Table all{.caption = "All numbers of the two reports, under their names in report.json",
            .head = {"number", "A", "B", "B against A"},
            .rows = {}};
  for (const ComparedNumber& number : numbers) all.rows.push_back(row_of(number, number.name));
  Section curves{.id = "curves", .title = "Over each other", .html = {}};
  for (Chart chart : {over_each_other(step_chart(first), step_chart(second), first, second),
                      over_each_other(misses_chart(first), misses_chart(second), first, second),
                      over_each_other(loss_chart(first), loss_chart(second), first, second),
                      over_each_other(speed_chart(first), speed_chart(second), first, second)}) {
    curves.html += chart_html(chart);
    curves.charts.push_back(std::move(chart));
  }
  return {
      {.id = "differences", .title = "Differences", .html = table_html(some)},
      std::move(curves),
      {.id = "numbers",
       .title = "Every number",
       .html = "<details><summary>The whole table</summary>" + table_html(all) + "</details>\n"}};
}

}  // namespace

std::vector<std::pair<std::string, double>> numbers_of(const Findings& findings) {
  std::vector<std::pair<std::string, double>> numbers;
  flatten(Json::parse(report_json(findings)), "", numbers);
  std::erase_if(numbers, [](const auto& one) { return one.first == "mneme_report"; });
  if (findings.lines.empty()) return numbers;
  numbers.emplace_back("last_loss", findings.lines.back().loss);
  for (auto line = findings.lines.rbegin(); line != findings.lines.rend(); ++line) {
    if (!line->validation_loss) continue;
    numbers.emplace_back("validation_loss", *line->validation_loss);
    break;
  }
  return numbers;
}

std::vector<ComparedNumber> compared(const Findings& first, const Findings& second) {
  std::vector<std::pair<std::string, double>> a, b;
  flatten(Json::parse(report_json(first)), "", a);
  flatten(Json::parse(report_json(second)), "", b);
  std::vector<ComparedNumber> numbers;
  std::map<std::string, std::size_t> places;
  for (const auto& [name, value] : a) {
    if (places.try_emplace(name, numbers.size()).second) numbers.push_back({name, value, 0});
  }
  for (const auto& [name, value] : b) {
    const auto [found, is_new] = places.try_emplace(name, numbers.size());
    if (is_new) numbers.push_back({name, 0, 0});
    numbers[found->second].second = value;
  }
  std::erase_if(numbers, [](const ComparedNumber& one) { return one.name == "mneme_report"; });
  return numbers;
}

std::string comparison_text(const Findings& first, const Findings& second) {
  const std::vector<ComparedNumber> numbers = compared(first, second);
  std::string text = fmt::format("A: {}: {}\nB: {}: {}\n{:<36}{:>14}{:>14}{:>12}\n",
                                 first.directory, first.verdict.text, second.directory,
                                 second.verdict.text, "", "A", "B", "B against A");
  for (const auto& [name, words] : headlines()) {
    const ComparedNumber* const number = number_named(numbers, name);
    if (number == nullptr || (number->first == 0 && number->second == 0)) continue;
    text += fmt::format("{:<36}{:>14}{:>14}{:>12}\n", words, text_of(number->first),
                        text_of(number->second), difference(*number));
  }
  return text;
}

std::string comparison_json(const Findings& first, const Findings& second) {
  Json json = {{"mneme_comparison", 1},
               {"a", Json::parse(report_json(first))},
               {"b", Json::parse(report_json(second))},
               {"numbers", Json::array()}};
  for (const ComparedNumber& one : compared(first, second)) {
    json["numbers"].push_back({{"name", one.name}, {"a", one.first}, {"b", one.second}});
  }
  return json.dump();
}

std::vector<PageFile> comparison_files(const Findings& first, const Findings& second) {
  const std::string top = fmt::format(
      "<p class=\"soft\">A: {}, steps {} to {}; B: {}, steps {} to {}</p>\n<h1>Two runs</h1>"
      "<div class=\"verdict\"><p>A: {}</p><p>B: {}</p></div>\n",
      escape(first.directory), first.report.first_step, first.report.last_step,
      escape(second.directory), second.report.first_step, second.report.last_step,
      escape(first.verdict.text), escape(second.verdict.text));
  const std::string json = comparison_json(first, second);
  return {{"comparison.html", page_mark(),
           page_of("mneme: " + first.directory + " and " + second.directory, top,
                   sections(first, second), json)},
          {"comparison.json", kJsonMark, json + "\n"}};
}

}  // namespace mneme::report
