#include "tools/report/page_assets.h"

// Each file between two symbols. CMake gives the paths.
#define MNEME_EMBED(name, path)                                               \
  asm(".section .rodata\n" #name "_begin:\n.incbin \"" path "\"\n" #name      \
      "_end:\n"                                                               \
      ".previous\n");                                                         \
  extern "C" const char name##_begin[] __attribute__((visibility("hidden"))); \
  extern "C" const char name##_end[] __attribute__((visibility("hidden")))

MNEME_EMBED(mneme_page_style, MNEME_PAGE_STYLE);
MNEME_EMBED(mneme_page_charts, MNEME_PAGE_CHARTS);
MNEME_EMBED(mneme_page_chart_js, MNEME_CHART_JS);

namespace mneme::report {
namespace {

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

std::string_view style_sheet() {
  return between(mneme_page_style_begin, mneme_page_style_end);
}

std::string_view chart_script() {
  return between(mneme_page_charts_begin, mneme_page_charts_end);
}

std::string_view chart_library() {
  return between(mneme_page_chart_js_begin, mneme_page_chart_js_end);
}

}  // namespace mneme::report
