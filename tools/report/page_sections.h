// The sections of a run's page, in their order. One that has nothing to say is not there.
#pragma once

#include <string>
#include <vector>

#include "tools/report/findings.h"
#include "tools/report/html.h"

namespace mneme::report {

struct Section {
  std::string id, title;
  std::string html;
  std::vector<Chart> charts = {};  // that `html` has places for
};

std::vector<Section> sections_of(const Findings& findings);

// Of the sections that two runs share.
Chart loss_chart(const Findings& findings);
Chart speed_chart(const Findings& findings);

}  // namespace mneme::report
