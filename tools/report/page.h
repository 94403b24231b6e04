// A report as files for a browser and for other programs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/report/findings.h"
#include "tools/report/page_sections.h"

namespace mneme::report {

struct PageFile {
  std::string name;
  std::string_view mark;  // how it begins (io/own_file.h)
  std::string content;
};

// report.html, which needs nothing else and asks nobody for anything; report.json; report-*.csv.
std::vector<PageFile> files_of(const Findings& findings);

// The page alone.
std::string report_page(const Findings& findings);

// A page of sections. top: HTML before their list. json: what the page is made from, for programs.
std::string page_of(const std::string& title, const std::string& top,
                    const std::vector<Section>& sections, const std::string& json);
// How each page begins.
std::string_view page_mark();

}  // namespace mneme::report
