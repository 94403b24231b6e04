#include "tools/report/page.h"

#include <fmt/format.h>

#include "tools/report/html.h"
#include "tools/report/page_assets.h"
#include "tools/report/page_sections.h"
#include "tools/report/report_formats.h"

namespace mneme::report {
namespace {

constexpr std::string_view kPageMark = "<!DOCTYPE html>\n<!-- mneme report -->";

// A browser refuses the page every request.
constexpr std::string_view kAsksNobody =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

// Sections that have nothing to say are left out, and so are their links.
std::string contents(const std::vector<Section>& sections) {
  std::string out = "<nav aria-label=\"Contents\"><ul>";
  for (const Section& section : sections) {
    out += fmt::format("<li><a href=\"#{}\">{}</a></li>", section.id, escape(section.title));
  }
  return out + "</ul></nav>\n";
}

std::string body_of(const std::vector<Section>& sections) {
  std::string out;
  for (const Section& section : sections) {
    out += fmt::format("<section id=\"{0}\" aria-labelledby=\"h-{0}\"><h2 id=\"h-{0}\">{1}</h2>\n",
                       section.id, escape(section.title)) +
           section.html + "</section>\n";
  }
  return out;
}

}  // namespace

std::string page_of(const std::string& title, const std::string& top,
                    const std::vector<Section>& sections, const std::string& json) {
  std::vector<Chart> charts;
  for (const Section& section : sections) {
    charts.insert(charts.end(), section.charts.begin(), section.charts.end());
  }
  std::string out(kPageMark);
  out += "\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>" + escape(title) +
         "</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"" +
         std::string(kAsksNobody) + "\">\n<link rel=\"icon\" href=\"data:,\">\n<style>\n";
  out += style_sheet();
  out += "</style></head>\n<body>\n<a class=\"skip\" href=\"#main\">To the content</a>\n<header>\n";
  out += top + contents(sections) + "</header>\n<main id=\"main\">\n" + body_of(sections) +
         "</main>\n<script type=\"application/json\" id=\"report\">" + for_script(json) +
         "</script>\n<script type=\"application/json\" id=\"charts\">" +
         for_script(charts_json(charts)) + "</script>\n<script>";
  if (!charts.empty()) {
    out += chart_library();
    out += "</script>\n<script>";
    out += chart_script();
  }
  return out + "</script>\n</body></html>\n";
}

std::string_view page_mark() {
  return kPageMark;
}

std::string report_page(const Findings& findings) {
  return page_of("mneme: " + findings.directory,
                 fmt::format("<p class=\"soft\">{}, steps {} to {}</p>\n<h1>What bounds a step</h1>"
                             "<div class=\"verdict\"><p>{}</p></div>\n",
                             escape(findings.directory), findings.report.first_step,
                             findings.report.last_step, escape(findings.verdict.text)),
                 sections_of(findings), report_json(findings));
}

std::vector<PageFile> files_of(const Findings& findings) {
  std::vector<PageFile> files = {
      {"report.html", kPageMark, report_page(findings)},
      {"report.json", R"({"mneme_report":1,)", report_json(findings) + "\n"},
      {"report-latency.csv", "queue,least_us,", latency_csv(findings.report.disk_latencies)},
      {"report-steps.csv", "step,loss,tokens_per_s,", report_csv(findings.lines)}};
  if (findings.what_ifs) {
    files.push_back(
        {"report-misses.csv", "rows,bytes,planned,", misses_csv(findings.what_ifs->misses)});
  }
  return files;
}

}  // namespace mneme::report
