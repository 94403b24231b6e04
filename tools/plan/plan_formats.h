// A plan as text for people, and as one JSON object.
#pragma once

#include <string>

#include "tools/plan/plan.h"

namespace mneme::plan {

// What they are told besides the plan.
struct PlanNames {
  std::string config;   // path
  std::string machine;  // its name, or path
};

std::string plain_text(const Plan& plan, const PlanOptions& options, const PlanNames& names);
std::string json_text(const Plan& plan, const PlanOptions& options, const PlanNames& names);

}  // namespace mneme::plan
