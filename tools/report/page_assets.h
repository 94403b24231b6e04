// What is the same on every page, embedded when mneme is built.
#pragma once

#include <string_view>

namespace mneme::report {

std::string_view style_sheet();    // page/style.css
std::string_view chart_script();   // page/charts.js
std::string_view chart_library();  // Chart.js, minified

}  // namespace mneme::report
