// Two runs beside each other: the differences of every number, and their curves over each other.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tools/report/findings.h"
#include "tools/report/page.h"

namespace mneme::report {

struct ComparedNumber {
  std::string name;  // as in report.json, a dot one level deeper
  double first = 0, second = 0;
};
// Every number that either report has; 0 where one of them has none.
std::vector<ComparedNumber> compared(const Findings& first, const Findings& second);

// The numbers of one report, and beside them the last `validation_loss` and the `last_loss`, where
// there are such.
std::vector<std::pair<std::string, double>> numbers_of(const Findings& findings);

std::string comparison_text(const Findings& first, const Findings& second);
std::string comparison_json(const Findings& first, const Findings& second);
// comparison.html, comparison.json.
std::vector<PageFile> comparison_files(const Findings& first, const Findings& second);

}  // namespace mneme::report
