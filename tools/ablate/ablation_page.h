// What an ablation has given, for a browser: one file that asks nobody for anything.
#pragma once

#include <string>

#include "tools/ablate/ablation.h"

namespace mneme::ablate {

// The best cells in words; a curve for each axis, with the spread of the runs; a heat map for each
// pair of axes; Pareto fronts; every cell.
std::string ablation_page(const Ablation& ablation);

}  // namespace mneme::ablate
