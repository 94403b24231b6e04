#include "tools/report/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/report/words.h"

namespace mneme::report {
namespace {

std::string roughly(double share) {
  return percent(share, share < .0995 ? 1 : 0);
}

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] += 'A' - 'a';
  return text;
}

// "The host link", "Compute".
std::string subject(const std::string& resource) {
  if (resource == "host link" || resource == "plan") return "The " + resource;
  return capitalised(resource);
}

std::string verb(const std::string& resource) {
  return resource.ends_with('s') ? "bound" : "bounds";
}

// As the books have it.
std::string resource_of(const std::string& part) {
  if (part == "stall.plan") return "plan";
  if (part == "stall.host") return "host link";
  if (part == "stall.disk" || part == "stall.hint") return "disk reads";
  if (part == "stall.write_back" || part == "stall.checkpoint") return "disk writes";
  return "compute";
}

Verdict without_trace(const RunReport& report) {
  std::vector<std::pair<std::string, double>> sums;
  for (const TimePart& part : report.time) {
    const std::string resource = resource_of(part.name);
    const auto found = std::find_if(sums.begin(), sums.end(),
                                    [&](const auto& sum) { return sum.first == resource; });
    if (found == sums.end()) {
      sums.emplace_back(resource, part.share);
    } else {
      found->second += part.share;
    }
  }
  const auto most = std::max_element(
      sums.begin(), sums.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  Verdict verdict{.bound = most->first};
  verdict.text = fmt::format("{} {} the step: {} of its {:.1f} ms.", subject(most->first),
                             verb(most->first), roughly(most->second), report.step_ms);
  const bool has_rows = report.reads.all() > 0;
  verdict.text += has_rows ? " What would change that is not known without a trace: run.trace."
                           : " There are no rows to move.";
  return verdict;
}

std::string advice_text(const RunReport& report, const WhatIf& advice) {
  std::string changes;
  for (const std::string& change : advice.changes) changes += " --set " + change;
  std::string text = fmt::format(" Try {}: a step would take {:.1f} ms ({} less", advice.name,
                                 advice.step_ms, roughly(advice.gain));
  const auto share = [](double rows, const ReadsByTier& reads) {
    return reads.all() > 0 ? rows / reads.all() : 0;
  };
  const double device = share(advice.reads.device, advice.reads);
  const double before = share(report.reads.device, report.reads);
  if (std::abs(device - before) >= .0005) {
    text += fmt::format(", {} of the rows on the device already instead of {}", roughly(device),
                        roughly(before));
  }
  return text + ")" + (changes.empty() ? "." : ":" + changes + ".");
}

}  // namespace

Verdict verdict_of(const RunReport& report, const WhatIfs* what_ifs) {
  if (what_ifs == nullptr || what_ifs->resources.empty()) return without_trace(report);
  const WhatIf& bound = what_ifs->resources.front();
  Verdict verdict{.bound = bound.name};
  verdict.text = fmt::format(
      "{} {} the step: infinitely fast, {} would leave {:.1f} ms of its {:.1f} ms ({} less).",
      subject(bound.name), verb(bound.name), bound.name.ends_with('s') ? "they" : "it",
      bound.step_ms, report.step_ms, roughly(bound.gain));
  if (what_ifs->resources.size() > 1 && what_ifs->resources[1].gain >= kWorthwhile) {
    const WhatIf& next = what_ifs->resources[1];
    verdict.text += fmt::format(" Next come{} {} ({} less).", next.name.ends_with('s') ? "" : "s",
                                next.name, roughly(next.gain));
  }
  const WhatIf* best = what_ifs->settings.empty() ? nullptr : &what_ifs->settings.front();
  // Rows are new once only.
  const bool passes = bound.name == "new rows" && bound.gain >= kWorthwhile &&
                      (best == nullptr || bound.gain > best->gain);
  if (passes) {
    verdict.advice = bound;
    verdict.advice->name = "a later step";
    verdict.text += fmt::format(
        " A row is new only once: a later step, whose rows are not, would take {:.1f} ms; measure "
        "behind a longer warm-up.",
        bound.step_ms);
  } else if (best != nullptr && best->gain >= kWorthwhile) {
    verdict.advice = *best;
    verdict.text += advice_text(report, *best);
  } else {
    verdict.text += " No tier setting helps";
    if (best != nullptr && best->gain > 0) {
      verdict.text += fmt::format(": the best, {}, would save {}", best->name, roughly(best->gain));
    }
    verdict.text += ".";
  }
  return verdict;
}

}  // namespace mneme::report
