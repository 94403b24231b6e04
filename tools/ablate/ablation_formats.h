// What an ablation has given, as a table for people and as CSV and JSON for programs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/ablate/ablation.h"

namespace mneme::ablate {

// NaN of none.
double median_of(std::vector<double> values);

// Of the done runs of a cell.
struct Spread {
  double median = 0, least = 0, most = 0;
  std::size_t runs = 0;
};
// Nothing where no run has that number.
std::optional<Spread> spread_of(const Ablation& ablation, std::size_t cell,
                                const std::string& number);

// A column of the table: a number of the runs, in a unit for people.
struct Column {
  std::string number;  // as in report.json, or "seconds"
  std::string title;
  double factor = 1;  // from the number to what is shown
  int digits = 4;     // that count
};
// In as many digits as count; "-" where it is not finite.
std::string number_text(double value, int digits);
// The last parts of keys, where these tell them apart; whole keys elsewhere.
std::vector<std::string> short_names(const std::vector<std::string>& keys);
// A TOML value for people: text without its quotes.
std::string shown(const std::string& value);
// Of the runs of a cell, the first that is not done, and what it said.
std::string failure_of(const std::vector<const RunResult*>& runs);

// Whether the numbers of a cell come from the trace of another one.
bool is_replayed(const Ablation& ablation, std::size_t cell);
// Which cells are replayed, and what that means for their numbers; a sentence for each trace.
std::vector<std::string> replays_in_words(const Ablation& ablation);
// Of a cell, as columns show it: predictions with a mark.
std::string cell_text(const Ablation& ablation, std::size_t cell, const Column& column);
// How many of a cell's runs are done, or that it was replayed.
std::string runs_text(const Ablation& ablation, std::size_t cell);

// The usual ones that some run has, and those that the grid names.
std::vector<Column> columns_of(const Ablation& ablation);

// A line for each cell: its settings, medians, and what it said where it failed.
std::string ablation_text(const Ablation& ablation);
// A line for each run, with every number.
std::string ablation_csv(const Ablation& ablation);
std::string ablation_json(const Ablation& ablation);

}  // namespace mneme::ablate
