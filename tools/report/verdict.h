// What bounds the steps of a run, and which setting to change next, in a sentence or two.
#pragma once

#include <optional>
#include <string>

#include "tools/report/run_report.h"
#include "tools/report/what_if.h"

namespace mneme::report {

// What a predicted gain has to be, as a share of a step, to be advised: steps of one run differ by
// more.
inline constexpr double kWorthwhile = 0.03;

struct Verdict {
  std::string bound;                  // name of the resource
  std::optional<WhatIf> advice = {};  // none: no tier setting helps
  std::string text = {};
};

// what_ifs: null where there is no trace; the bound is then the longest part of a step, and nothing
// is advised.
Verdict verdict_of(const RunReport& report, const WhatIfs* what_ifs);

}  // namespace mneme::report
