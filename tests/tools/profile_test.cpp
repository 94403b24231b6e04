// mneme profile and the files of a report: what they hold, what they leave alone.
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "engine/metrics_reader.h"
#include "engine/run_directory.h"
#include "tests/tools/bad_input.h"
#include "tools/report/html.h"
#include "tools/report/page_assets.h"
#include "tools/report/verdict.h"

namespace mneme::test {
namespace {

using offload::Cause;
using offload::Field;
using offload::Pass;

class Profile : public BadInput {
 protected:
  std::string profiled() const { return directory() + "-profile"; }
  Finished profile(const std::string& path, const Words& more = {}) {
    Words words = {"profile", path, "--warm-up", "2", "--steps", "4"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  // What a page holds between the tags of its data.
  static nlohmann::json data_of(const std::string& page, const std::string& id) {
    const std::string front = "<script type=\"application/json\" id=\"" + id + "\">";
    const std::size_t begin = page.find(front);
    EXPECT_NE(begin, std::string::npos) << id;
    const std::size_t from = begin + front.size();
    return nlohmann::json::parse(page.substr(from, page.find("</script>", from) - from));
  }
};

TEST_F(Profile, OfAConfigurationSaysWhatBoundsAStep) {
  const Finished told = profile(file(), {"--json"});
  ASSERT_EQ(told.status, 0) << told.error;
  EXPECT_FALSE(fs::exists(directory()));
  const nlohmann::json json = nlohmann::json::parse(told.output);
  EXPECT_EQ(json.at("first_step"), 3);
  EXPECT_EQ(json.at("last_step"), 6);
  EXPECT_FALSE(json.at("verdict").at("text").get<std::string>().empty());
  std::set<std::string> resources;
  for (const nlohmann::json& one : json.at("what_if").at("resources")) {
    resources.insert(one.at("name"));
  }
  EXPECT_EQ(resources, (std::set<std::string>{"compute", "host link", "disk reads", "disk writes",
                                              "new rows", "plan"}));
  EXPECT_EQ(json.at("verdict").at("bound"), json.at("what_if").at("resources")[0].at("name"));
  EXPECT_GT(json.at("ceilings").at("host_to_device"), 0);

  // A profile is not a run to go on with, and makes room for the next one.
  EXPECT_EQ(run({"resume", profiled()}).status, 1);
  EXPECT_EQ(profile(file()).status, 0);
}

// Every number of the page is one of the metrics'.
TEST_F(Profile, ItsPageSaysWhatTheLedgerSays) {
  ASSERT_EQ(profile(file()).status, 0);
  const std::string page = text_of(profiled() + "/report.html");
  EXPECT_TRUE(page.starts_with("<!DOCTYPE html>"));
  EXPECT_LT(page.size(), 400'000u);
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  const auto lines = engine::read_metrics(*io::make_posix_disk(), profiled() + "/metrics.jsonl");
  ASSERT_EQ(lines.size(), 6u);
  offload::Entry forward;
  double step_ms = 0;
  for (std::size_t i = 2; i < lines.size(); ++i) {
    forward += lines[i].books.total(Cause::kTraining, Pass::kForward);
    step_ms += lines[i].times.step_ms / 4;
  }
  const nlohmann::json report = data_of(page, "report");
  EXPECT_EQ(report, nlohmann::json::parse(text_of(profiled() + "/report.json")));
  EXPECT_NEAR(report.at("step_ms"), step_ms, 1e-9 * step_ms);
  EXPECT_NEAR(report.at("reads").at("device"), double(forward[Field::kFoundOnDevice]) / 4, 1e-9);
  EXPECT_NEAR(report.at("reads").at("untouched"), double(forward[Field::kFoundUntouched]) / 4,
              1e-9);
  std::set<std::string> charts;
  for (const nlohmann::json& chart : data_of(page, "charts")) {
    charts.insert(chart.at("id"));
    for (const nlohmann::json& series : chart.at("series")) {
      EXPECT_EQ(series.at("values").size(), chart.at("x").size()) << chart.at("id");
    }
    EXPECT_NE(page.find("id=\"chart-" + chart.at("id").get<std::string>() + "\""),
              std::string::npos);
    if (chart.at("id") != "reads") continue;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      double sum = 0;
      for (const nlohmann::json& series : chart.at("series")) {
        sum += series.at("values")[i].get<double>();
      }
      EXPECT_NEAR(sum, 1, 1e-4) << "step " << i + 1;
    }
  }
  for (const char* id : {"step", "reads", "misses", "usage", "loss", "speed"}) {
    EXPECT_TRUE(charts.contains(id)) << id;
  }
}

// Opened by its comment, which a reader of gzip leaves out.
TEST_F(Profile, ItsTimelineIsACompressedFileOfMneme) {
  ASSERT_EQ(profile(file()).status, 0);
  const std::string packed = text_of(profiled() + "/timeline.json.gz");
  ASSERT_TRUE(packed.starts_with("\x1f\x8b"));
  EXPECT_EQ(packed.substr(10, 15), std::string("mneme timeline") + '\0');
  const std::string text = run_.path("timeline.json");
  ASSERT_EQ(std::system(("gzip -dc " + profiled() + "/timeline.json.gz > " + text).c_str()), 0);
  const nlohmann::json json = nlohmann::json::parse(text_of(text));
  EXPECT_EQ(json.at("otherData").at("spans_dropped"), 0);
  std::map<int, std::string> tracks;
  // Spans of a track lie in each other or apart.
  std::map<int, std::vector<std::pair<double, double>>> spans;
  std::map<std::string, int> names;
  for (const nlohmann::json& event : json.at("traceEvents")) {
    if (event.at("name") == "thread_name") tracks[event.at("tid")] = event.at("args").at("name");
    if (event.at("ph") != "X") continue;
    spans[event.at("tid")].emplace_back(event.at("ts"), event.at("dur"));
    ++names[event.at("name")];
  }
  for (int step = 3; step <= 6; ++step) EXPECT_EQ(names["step " + std::to_string(step)], 1);
  EXPECT_EQ(names["forward"], 4 * config_.train.micro_batches);
  EXPECT_EQ(names["update"], 4);
  std::set<std::string> found;
  for (auto& [track, list] : spans) {
    found.insert(tracks.at(track));
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first < b.first : a.second > b.second;
    });
    std::vector<double> open;
    constexpr double kSlack = 1;  // microseconds
    for (const auto& [begin, length] : list) {
      while (!open.empty() && open.back() <= begin + kSlack) open.pop_back();
      if (!open.empty()) {
        EXPECT_LE(begin + length, open.back() + kSlack) << tracks.at(track);
      }
      open.push_back(begin + length);
    }
  }
  for (const char* track : {"1 compute", "2 plan", "3 page-in"}) {
    EXPECT_TRUE(found.contains(track)) << track;
  }
}

TEST_F(Profile, OfARunGoesOnWithItToTheSameBits) {
  const auto expected = uninterrupted();
  train_until(2);
  const std::string config = text_of(directory() + "/config.toml");
  const Finished told = run({"profile", directory(), "--warm-up", "1", "--steps", "3", "--json"});
  ASSERT_EQ(told.status, 0) << told.error;
  EXPECT_EQ(nlohmann::json::parse(told.output).at("first_step"), 4);
  EXPECT_EQ(nlohmann::json::parse(told.output).at("last_step"), 6);
  EXPECT_TRUE(nlohmann::json::parse(told.output).contains("what_if"));
  EXPECT_EQ(text_of(directory() + "/config.toml"), config) << "the run keeps its configuration";
  EXPECT_EQ(engine::RunDirectory(run_.disk(), directory()).checkpoint().step, 6u);
  ASSERT_EQ(run({"resume", directory()}).status, 0);
  expect_same(run_.outcome(config_), expected);
}

TEST_F(Profile, WithoutAMemoryNothingIsAdvised) {
  const Finished told = profile(file(), {"--set", "model.feed_forward=dense", "--json"});
  ASSERT_EQ(told.status, 0) << told.error;
  const nlohmann::json json = nlohmann::json::parse(told.output);
  EXPECT_EQ(json.at("verdict").at("bound"), "compute");
  EXPECT_TRUE(json.at("verdict").at("advice").is_null());
  EXPECT_FALSE(json.contains("what_if"));
}

TEST_F(Profile, WhatCannotBeProfiledIsRefusedInOneLine) {
  expect_refused({"profile", file(), "--steps", "50"}, {"8 of 8 steps are left", "--steps"});
  expect_refused({"profile", folder_ + "/nothing.toml"}, {"nothing.toml"});
  run_.train(config_);
  expect_refused({"profile", directory()}, {"0 of 8 steps are left", "train.steps"});
  expect_refused({"profile", directory(), "--output", folder_ + "/x"}, {"--output"});
}

// Whatever else stands under the names of a report's files stays.
TEST_F(Profile, AReportReplacesNothingThatItHasNotWritten) {
  ASSERT_EQ(run({"train", file()}).status, 0);
  put(directory() + "/report.html", "mine");
  expect_refused({"report", directory()}, {"report.html", "no report is"});
  EXPECT_EQ(text_of(directory() + "/report.html"), "mine");
  const std::string other = run_.path("pages");
  ASSERT_EQ(run({"report", directory(), "--output", other}).status, 0);
  ASSERT_EQ(run({"report", directory(), "--output", other}).status, 0);
  EXPECT_TRUE(text_of(other + "/report.html").starts_with("<!DOCTYPE html>"));
}

report::RunReport report_of(double step_ms) {
  report::RunReport report;
  report.step_ms = step_ms;
  report.time = {{.name = "forward", .meaning = "", .ms = step_ms, .share = 1}};
  return report;
}

report::WhatIf what_if(const std::string& name, double gain, const Words& changes = {}) {
  return {.name = name, .changes = changes, .step_ms = 100 * (1 - gain), .gain = gain, .reads = {}};
}

TEST(VerdictTest, NamesWhatShortensAStepMostAndTheSettingThatGainsMost) {
  report::WhatIfs told;
  told.resources = {what_if("disk reads", .6), what_if("compute", .2)};
  told.settings = {what_if("a host tier twice as large", .3, {"tiers.host_bytes=2GiB"})};
  const report::Verdict verdict = report::verdict_of(report_of(100), &told);
  EXPECT_EQ(verdict.bound, "disk reads");
  ASSERT_TRUE(verdict.advice);
  EXPECT_EQ(verdict.advice->changes, Words{"tiers.host_bytes=2GiB"});
  EXPECT_NE(verdict.text.find("Disk reads bound"), std::string::npos) << verdict.text;
  EXPECT_NE(verdict.text.find("--set tiers.host_bytes=2GiB"), std::string::npos) << verdict.text;
  EXPECT_NE(verdict.text.find("70.0 ms"), std::string::npos) << verdict.text;
}

TEST(VerdictTest, SaysSoWhereNoSettingHelps) {
  report::WhatIfs told;
  told.resources = {what_if("compute", .9)};
  told.settings = {what_if("a device tier twice as large", .01, {"tiers.device_bytes=1GiB"})};
  const report::Verdict verdict = report::verdict_of(report_of(100), &told);
  EXPECT_FALSE(verdict.advice);
  EXPECT_NE(verdict.text.find("No tier setting helps"), std::string::npos) << verdict.text;
}

TEST(VerdictTest, NewRowsPass) {
  report::WhatIfs told;
  told.resources = {what_if("new rows", .7), what_if("compute", .3)};
  const report::Verdict verdict = report::verdict_of(report_of(100), &told);
  ASSERT_TRUE(verdict.advice);
  EXPECT_EQ(verdict.advice->step_ms, told.resources[0].step_ms);
  EXPECT_TRUE(verdict.advice->changes.empty());
  EXPECT_NE(verdict.text.find("warm-up"), std::string::npos) << verdict.text;
}

TEST(PageTest, TextFromOutsideStaysText) {
  EXPECT_EQ(report::escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
  EXPECT_EQ(report::for_script("\"</script></script>\""), "\"<\\/script><\\/script>\"");
}

// Relative luminance and contrast of WCAG 2.
double luminance(const std::string& color) {
  double sum = 0;
  const double weights[] = {.2126, .7152, .0722};
  for (int i = 0; i < 3; ++i) {
    const double part = std::stoi(color.substr(1 + 2 * std::size_t(i), 2), nullptr, 16) / 255.0;
    sum += weights[i] * (part <= .03928 ? part / 12.92 : std::pow((part + .055) / 1.055, 2.4));
  }
  return sum;
}

double contrast(const std::string& a, const std::string& b) {
  const double x = luminance(a), y = luminance(b);
  return (std::max(x, y) + .05) / (std::min(x, y) + .05);
}

// Light, dark and printed pages: text 4.5 to 1, what is drawn 3 to 1.
TEST(PageTest, ColoursHaveEnoughContrast) {
  const std::string sheet(report::style_sheet());
  int blocks = 0;
  for (std::size_t at = 0; (at = sheet.find(":root {", at)) != sheet.npos;) {
    ++blocks;
    const std::size_t end = sheet.find('}', at);
    // "--name: #rrggbb;"
    std::map<std::string, std::string> colors;
    while ((at = sheet.find("--", at)) < end) {
      const std::size_t colon = sheet.find(':', at);
      colors[sheet.substr(at + 2, colon - at - 2)] = sheet.substr(colon + 2, 7);
      at = colon;
    }
    at = end;
    for (const char* ground : {"page", "panel"}) {
      for (const char* text : {"text", "soft", "accent"}) {
        EXPECT_GE(contrast(colors.at(text), colors.at(ground)), 4.5) << text << " on " << ground;
      }
      for (int series = 1; series <= 8; ++series) {
        std::string name(1, 'c');
        name += std::to_string(series);
        EXPECT_GE(contrast(colors.at(name), colors.at(ground)), 3) << name << " on " << ground;
      }
    }
  }
  EXPECT_EQ(blocks, 3);
}

// Pictures have words for who does not see them, and nobody is asked for anything.
TEST_F(Profile, ItsPicturesHaveAlternatives) {
  ASSERT_EQ(profile(file()).status, 0);
  const std::string page = text_of(profiled() + "/report.html");
  int pictures = 0;
  for (const char* const tag : {"<canvas ", "<svg "}) {
    for (std::size_t at = 0; (at = page.find(tag, at)) != page.npos; ++at) {
      ++pictures;
      // Of its own, or of what holds it.
      const std::size_t end = page.find('>', at);
      EXPECT_NE(page.rfind("role=\"img\" aria-label=\"", end), page.npos) << page.substr(at, 80);
    }
  }
  EXPECT_GE(pictures, 8);
  EXPECT_EQ(page.find(" src="), std::string::npos);
  EXPECT_EQ(page.find("url("), std::string::npos);
}

TEST(PageTest, CurvesAreBinned) {
  report::Chart chart{.id = "x",
                      .how_to_read = "",
                      .alternative = "",
                      .x_title = "",
                      .y_title = "",
                      .x = {},
                      .series = {{"", 1, {}}}};
  for (int i = 0; i < 5000; ++i) {
    chart.x.push_back(i);
    chart.series[0].values.push_back(i % 3 == 0 ? std::nan("") : 2);
  }
  report::bin(chart);
  EXPECT_LE(chart.x.size(), report::kMostPoints);
  EXPECT_EQ(chart.x.size(), chart.series[0].values.size());
  EXPECT_EQ(chart.x[0], 1);
  EXPECT_EQ(chart.series[0].values[10], 2);
}

}  // namespace
}  // namespace mneme::test
