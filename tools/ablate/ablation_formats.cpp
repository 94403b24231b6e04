#include "tools/ablate/ablation_formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tools/ablate/ablation_best.h"
#include "tools/ablate/answers.h"

namespace mneme::ablate {
namespace {

using Json = nlohmann::ordered_json;

// In front of numbers that a replay predicts.
constexpr const char* kPredictedMark = "~";

const std::vector<Column>& usual_columns() {
  static const std::vector<Column> kColumns = {
      {"tokens_per_s", "tokens/s", 1, 5},
      {"step_ms", "step ms", 1, 4},
      {"stall_share", "stall %", 100, 3},
      {"reads.device", "rows: device", 1, 5},
      {"reads.host", "host", 1, 4},
      {"reads.disk", "disk", 1, 4},
      {"reads.untouched", "new", 1, 4},
      {"moves.host_to_device.bytes", "host link MB", 1e-6, 4},
      {"moves.disk_to_device.bytes", "disk MB", 1e-6, 4},
      {"hints.used", "hints used", 1, 4},
      {"validation_loss", "valid. loss", 1, 5},
  };
  return kColumns;
}

std::optional<double> value_of(const RunResult& run, const std::string& number) {
  if (number == "seconds") return run.seconds;
  if (number != "stall_share") return run.number(number);
  double share = 0;
  for (const auto& [name, value] : run.numbers) {
    if (name.starts_with("time.stall.") && name.ends_with(".share")) share += value;
  }
  return share;
}

std::string aligned(const std::vector<std::vector<std::string>>& rows, std::size_t left_columns) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    // A failure's line is as long as it is.
    if (row.size() == left_columns + 1) continue;
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < std::min(left_columns, row.size()); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      const bool is_left = i < left_columns || row.size() == left_columns + 1;
      line += is_left ? fmt::format("{:<{}}", row[i], widths[i])
                      : fmt::format("{:>{}}", row[i], widths[i]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

// A field of CSV.
std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\n") == text.npos) return text;
  std::string out(1, '"');
  for (const char c : text) out.append(c == '"' ? 2 : 1, c);
  out.push_back('"');
  return out;
}

void add_field(std::string& line, const std::string& field) {
  line.push_back(',');
  line.append(field);
}

}  // namespace

std::string number_text(double value, int digits) {
  if (!std::isfinite(value)) return "-";
  if (value == 0) return "0";
  if (std::abs(value) >= std::pow(10.0, digits)) return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}g}", value, digits);
}

std::vector<std::string> short_names(const std::vector<std::string>& keys) {
  std::vector<std::string> names;
  for (const std::string& key : keys) {
    const std::string last = key.substr(key.rfind('.') + 1);
    const auto alike = std::count_if(keys.begin(), keys.end(), [&](const std::string& other) {
      return other.substr(other.rfind('.') + 1) == last;
    });
    names.push_back(alike == 1 ? last : key);
  }
  return names;
}

std::string shown(const std::string& value) {
  const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
  return quoted ? value.substr(1, value.size() - 2) : value;
}

std::string failure_of(const std::vector<const RunResult*>& runs) {
  for (const RunResult* run : runs) {
    if (run->outcome != Outcome::kDone) {
      return fmt::format("{}: {}", io::name_of(run->outcome), run->error);
    }
  }
  return "not run yet";
}

double median_of(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::optional<Spread> spread_of(const Ablation& ablation, std::size_t cell,
                                const std::string& number) {
  std::vector<double> values;
  for (const RunResult* run : ablation.results_of(cell)) {
    if (run->outcome != Outcome::kDone) continue;
    const std::optional<double> value = value_of(*run, number);
    if (value && std::isfinite(*value)) values.push_back(*value);
  }
  if (values.empty()) return std::nullopt;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return Spread{median_of(values), *least, *most, values.size()};
}

bool is_replayed(const Ablation& ablation, std::size_t cell) {
  const RunResult* const result = ablation.result(ablation.run_of(cell));
  return result != nullptr && !result->replayed.empty();
}

std::vector<std::string> replays_in_words(const Ablation& ablation) {
  const Grid& grid = ablation.grid();
  std::map<std::string, std::size_t> cells_by_trace;
  for (std::size_t cell = 0; cell < grid.cells.size(); ++cell) {
    if (is_replayed(ablation, cell)) {
      ++cells_by_trace[ablation.result(ablation.run_of(cell))->replayed];
    }
  }
  std::vector<std::string> words;
  for (const auto& [identity, cells] : cells_by_trace) {
    std::string traced = "a cell that the grid no longer has";
    for (std::size_t cell = 0; cell < grid.cells.size(); ++cell) {
      if (ablation.run_of(cell).identity == identity) {
        traced = "the cell " + cell_name(grid, grid.cells[cell]);
      }
    }
    words.push_back(
        fmt::format("{} of {} cells were answered by replaying the trace of {}: rows and moves are "
                    "counted as its run would count them, times are predicted ({}).",
                    cells, grid.cells.size(), traced, kPredictedMark));
  }
  return words;
}

std::string cell_text(const Ablation& ablation, std::size_t cell, const Column& column) {
  const std::optional<Spread> spread = spread_of(ablation, cell, column.number);
  if (!spread) return "-";
  const std::string text = number_text(spread->median * column.factor, column.digits);
  return is_replayed(ablation, cell) && is_predicted(column.number) ? kPredictedMark + text : text;
}

std::string runs_text(const Ablation& ablation, std::size_t cell) {
  if (is_replayed(ablation, cell)) return "replayed";
  const std::vector<const RunResult*> runs = ablation.results_of(cell);
  const auto done = std::count_if(runs.begin(), runs.end(), [](const RunResult* run) {
    return run->outcome == Outcome::kDone;
  });
  return fmt::format("{}/{}", done, ablation.grid().repeats);
}

std::vector<Column> columns_of(const Ablation& ablation) {
  std::vector<Column> columns = usual_columns();
  for (const std::string& name : ablation.grid().table) columns.push_back({name, name, 1, 5});
  // Those that are 0 everywhere say nothing.
  std::erase_if(columns, [&](const Column& column) {
    for (std::size_t cell = 0; cell < ablation.grid().cells.size(); ++cell) {
      const std::optional<Spread> spread = spread_of(ablation, cell, column.number);
      if (spread && (spread->least != 0 || spread->most != 0)) return false;
    }
    return true;
  });
  return columns;
}

std::string ablation_text(const Ablation& ablation) {
  const Grid& grid = ablation.grid();
  const std::vector<Column> columns = columns_of(ablation);
  std::vector<std::vector<std::string>> rows = {short_names(grid.varied)};
  rows[0].push_back("runs");
  for (const Column& column : columns) rows[0].push_back(column.title);
  if (!columns.empty()) rows[0].push_back("spread");
  for (std::size_t cell = 0; cell < grid.cells.size(); ++cell) {
    std::vector<std::string> row;
    for (const Setting& setting : grid.cells[cell].settings) row.push_back(shown(setting.value));
    const std::vector<const RunResult*> runs = ablation.results_of(cell);
    const auto done = std::count_if(runs.begin(), runs.end(), [](const RunResult* run) {
      return run->outcome == Outcome::kDone;
    });
    if (done == 0) {
      row.push_back(failure_of(runs));
      rows.push_back(std::move(row));
      continue;
    }
    row.push_back(runs_text(ablation, cell));
    for (const Column& column : columns) row.push_back(cell_text(ablation, cell, column));
    if (!columns.empty()) {
      const std::optional<Spread> speed = spread_of(ablation, cell, "tokens_per_s");
      row.push_back(speed && speed->runs > 1
                        ? fmt::format("{:.0f}%", 100 * (speed->most / speed->least - 1))
                        : "-");
    }
    rows.push_back(std::move(row));
  }
  std::string text = aligned(rows, grid.varied.size());
  text +=
      "numbers are medians of the runs, rows and bytes of a step; spread: of tokens/s, the most "
      "over the least\n";
  for (const std::string& words : replays_in_words(ablation)) text += words + "\n";
  for (const std::string& words : best_in_words(ablation)) text += words + "\n";
  return text;
}

std::string ablation_csv(const Ablation& ablation) {
  std::set<std::string> known;
  std::vector<std::string> names;
  for (const PlannedRun& run : ablation.runs()) {
    const RunResult* const result = ablation.result(run);
    if (result == nullptr) continue;
    for (const auto& [name, value] : result->numbers) {
      if (known.insert(name).second) names.push_back(name);
    }
  }
  std::string text = "cell,repeat";
  for (const std::string& key : ablation.grid().varied) add_field(text, quoted(key));
  text += ",outcome,error,replayed,seconds";
  for (const std::string& name : names) add_field(text, quoted(name));
  text += "\n";
  for (const PlannedRun& run : ablation.runs()) {
    if (ablation.is_of_replayed_cell(run)) continue;
    const RunResult* const result = ablation.result(run);
    text += fmt::format("{},{}", run.cell, run.repeat);
    for (const Setting& setting : ablation.grid().cells[run.cell].settings) {
      add_field(text, quoted(shown(setting.value)));
    }
    if (result == nullptr) {
      text += ",not run yet,,,";
    } else {
      text += fmt::format(",{},{},{},{}", io::name_of(result->outcome), quoted(result->error),
                          result->replayed, result->seconds);
    }
    for (const std::string& name : names) {
      const std::optional<double> value = result != nullptr ? result->number(name) : std::nullopt;
      text += value && std::isfinite(*value) ? fmt::format(",{}", *value) : ",";
    }
    text += "\n";
  }
  return text;
}

std::string ablation_json(const Ablation& ablation) {
  Json cells = Json::array();
  for (std::size_t cell = 0; cell < ablation.grid().cells.size(); ++cell) {
    Json settings = Json::object(), runs = Json::array();
    for (const Setting& setting : ablation.grid().cells[cell].settings) {
      settings[setting.key] = shown(setting.value);
    }
    for (const RunResult* run : ablation.results_of(cell)) {
      Json numbers = Json::object();
      for (const auto& [name, value] : run->numbers) numbers[name] = value;
      Json object = {{"repeat", run->repeat},
                     {"outcome", io::name_of(run->outcome)},
                     {"seconds", run->seconds}};
      if (!run->replayed.empty()) object["replayed"] = run->replayed;
      if (run->outcome == Outcome::kDone) {
        object["numbers"] = std::move(numbers);
      } else {
        object["error"] = run->error;
      }
      runs.push_back(std::move(object));
    }
    cells.push_back({{"settings", std::move(settings)},
                     {"identity", ablation.run_of(cell).identity},
                     {"runs", std::move(runs)}});
  }
  const Json all = {{"mneme_ablation", 1},
                    {"directory", ablation.grid().directory},
                    {"repeats", ablation.grid().repeats},
                    {"cells", std::move(cells)}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mneme::ablate
