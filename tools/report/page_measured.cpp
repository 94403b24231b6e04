// Sections of what was measured: times, reads, rates, latencies, loss.
#include <algorithm>
#include <cmath>
#include <string_view>

#include "engine/config_keys.h"
#include "io/enum_names.h"
#include "io/human.h"
#include "tools/report/page_parts.h"

namespace mneme::report {
namespace {

using engine::StepMetrics;
using offload::Cause;
using offload::Entry;
using offload::Field;
using offload::Pass;

// Parts that stand beside each other differ.
int color_of_part(const std::string& name) {
  static constexpr std::pair<std::string_view, int> kColors[] = {
      {"forward", 1},    {"backward", 6},        {"update", 3},     {"predict", 4},
      {"stall.plan", 7}, {"stall.host", 5},      {"stall.disk", 2}, {"stall.write_back", 4},
      {"stall.hint", 1}, {"stall.checkpoint", 7}};
  for (const auto& [part, color] : kColors) {
    if (part == name) return color;
  }
  return 8;
}

// The most that the link of a move carries; 0: not known.
double ceiling_of(const std::string& move, const Ceilings& ceilings) {
  if (move == "host_to_device") return ceilings.host_to_device;
  if (move == "device_to_host") return ceilings.device_to_host;
  if (move == "disk_to_device" || move == "disk_to_host") return ceilings.disk_read;
  if (move == "device_to_disk" || move == "host_to_disk") return ceilings.disk_write;
  return 0;
}

}  // namespace

Section time_section(const Findings& findings) {
  const RunReport& report = findings.report;
  Section section{.id = "time", .title = "Where the time of a step went", .html = {}};
  std::vector<BarPart> bar;
  Table table{.caption = fmt::format("Parts of a step of {}, which add up to it",
                                     milliseconds(report.step_ms)),
              .head = {"part", "time", "share", "what it is"},
              .rows = {},
              .text_columns = 1};
  std::string alternative = "Shares of a step:";
  double stalls = 0;
  for (const TimePart& part : report.time) {
    if (part.ms <= 0) continue;
    const int color = color_of_part(part.name);
    if (part.name.starts_with("stall.")) stalls += part.share;
    bar.push_back({part.name, color, part.share});
    table.keys.push_back(color);
    table.rows.push_back({part.name, milliseconds(part.ms), percent(part.share), part.meaning});
    alternative += " " + part.name + " " + percent(part.share) + ",";
  }
  alternative.pop_back();
  section.html = "<figure><figcaption>" +
                 escape(fmt::format(
                     "The whole bar is one step, {} long; a wider part took more of it. Stalls, "
                     "the times in which the computation stood still for rows, are counted once, "
                     "however many causes they had: {} in all.",
                     milliseconds(report.step_ms), percent(stalls))) +
                 "</figcaption>" + stacked_bar_svg(alternative, bar) + "</figure>\n" +
                 table_html(table);
  Chart chart{
      .id = "step",
      .how_to_read =
          "Each point is a step: the upper line is all of its time, the lower one "
          "the part in which it stood still for rows.",
      .alternative = "Milliseconds of each step, and of its stalls",
      .x_title = "step",
      .y_title = "milliseconds",
      .x = steps_of(findings.lines),
      .series = {{"a step", 1,
                  each(findings.lines, [](const StepMetrics& line) { return line.times.step_ms; })},
                 {"stalls in it", 2, each(findings.lines, [](const StepMetrics& line) {
                    return line.times.stall_ms;
                  })}}};
  add_chart(section, std::move(chart));
  return section;
}

Section reads_section(const Findings& findings) {
  const ReadsByTier& reads = findings.report.reads;
  Section section{.id = "reads", .title = "Where rows were when they were read", .html = {}};
  if (reads.all() == 0) return section;
  struct Tier {
    const char* name;
    const char* meaning;
    double rows;
    Field field;
    int color;
  };
  const Tier tiers[] = {
      {"device", "there already", reads.device, Field::kFoundOnDevice, 1},
      {"host", "page-in from the host tier", reads.host, Field::kFoundInHost, 5},
      {"disk", "page-in from the disk", reads.disk, Field::kFoundOnDisk, 2},
      {"new", "generated: nothing had changed them", reads.untouched, Field::kFoundUntouched, 3}};
  Table table{.caption =
                  "Rows that forward passes of a step read, each once for each layer and "
                  "micro-batch",
              .head = {"tier", "rows", "share", "what it is"},
              .rows = {},
              .text_columns = 1};
  std::vector<BarPart> bar;
  Chart chart{.id = "reads",
              .how_to_read =
                  "At each step the bands show which share of all rows read was where; "
                  "what is not on the device had to be brought.",
              .alternative = "Share of the rows read that were in each tier, by step",
              .x_title = "step",
              .y_title = "share of the rows read",
              .x = steps_of(findings.lines),
              .series = {},
              .stacked = true,
              .percent = true};
  std::string alternative = "Shares of all rows read:";
  for (const Tier& tier : tiers) {
    bar.push_back({tier.name, tier.color, tier.rows / reads.all()});
    table.keys.push_back(tier.color);
    table.rows.push_back({tier.name, fmt::format("{:.1f}", tier.rows),
                          percent(tier.rows / reads.all(), 2), tier.meaning});
    alternative += fmt::format(" {} {},", tier.name, percent(tier.rows / reads.all(), 2));
    chart.series.push_back(
        {tier.name, tier.color, each(findings.lines, [&](const StepMetrics& line) {
           const Entry forward = line.books.total(Cause::kTraining, Pass::kForward);
           const auto all = double(forward[Field::kRowsLeased]);
           return all > 0 ? double(forward[tier.field]) / all : std::nan("");
         })});
  }
  alternative.pop_back();
  section.html = "<figure><figcaption>The whole bar is all rows that were read.</figcaption>" +
                 stacked_bar_svg(alternative, bar) + "</figure>\n" + table_html(table);
  add_chart(section, std::move(chart));
  return section;
}

Section rates_section(const Findings& findings) {
  Section section{.id = "rates", .title = "Page-in and write-back rates", .html = {}};
  const Ceilings ceilings = findings.notes ? findings.notes->ceilings : Ceilings{};
  Table table{.caption =
                  "Rows that moved, of a step; rates over all time, and while such moves were "
                  "under way",
              .head = {"move", "rows", "bytes", "of all time", "while under way",
                       "this machine's most", "share of it", "what it is"},
              .rows = {},
              .text_columns = 1};
  std::vector<Bar> bars;
  std::string alternative = "Shares of what the links carry at most:";
  for (const MoveRate& move : findings.report.moves) {
    if (move.rows == 0) continue;
    const double most = ceiling_of(move.name, ceilings);
    table.rows.push_back({move.name, fmt::format("{:.1f}", move.rows), io::human_bytes(move.bytes),
                          rate(move.bytes_per_s), rate(move.busy_bytes_per_s), rate(most),
                          most > 0 ? percent(move.busy_bytes_per_s / most) : "", move.meaning});
    if (most <= 0) continue;
    const double share = move.busy_bytes_per_s / most;
    bars.push_back(
        {move.name,
         fmt::format("{} of {}, {}", rate(move.busy_bytes_per_s), rate(most), percent(share)),
         move.name.ends_with("device") ? 1 : 2, share});
    alternative += fmt::format(" {} {},", move.name, percent(share));
  }
  if (table.rows.empty()) return section;
  alternative.pop_back();
  if (!bars.empty()) {
    section.html =
        "<figure><figcaption>Each outline is the most that the link of a move was measured, or "
        "declared, "
        "to carry on this machine; what is filled is how fast rows moved while such moves were "
        "under "
        "way.</figcaption>" +
        bars_svg(alternative, bars) + "</figure>\n";
  }
  section.html += table_html(table);
  return section;
}

Section latency_section(const Findings& findings) {
  Section section{.id = "latency", .title = "How long the disk took", .html = {}};
  Table table{.caption = "Disk transfers by queue, from when the system got them to their end",
              .head = {"queue", "transfers", "median", "90%", "99%", "longest"},
              .rows = {}};
  Chart chart{.id = "latency",
              .how_to_read =
                  "Each curve shows which share of a queue's transfers took about so long; "
                  "further right is slower. Demand reads are those that a step waits for.",
              .alternative = "Shares of transfers by how long they took, for each queue",
              .x_title = "microseconds",
              .y_title = "share of the queue's transfers",
              .x = {},
              .series = {},
              .percent = true,
              .log_x = true};
  std::size_t first = offload::LatencyCounts::kBuckets, last = 0;
  const auto each_queue = [&](const auto& use) {
    for (std::size_t i = 0; i < offload::kDiskQueues; ++i) {
      const offload::LatencyCounts& counts = findings.report.disk_latencies.queues[i];
      if (counts.transfers() > 0) use(i, counts);
    }
  };
  each_queue([&](std::size_t, const offload::LatencyCounts& counts) {
    for (std::size_t bucket = 1; bucket < counts.counts().size(); ++bucket) {
      if (counts.counts()[bucket] == 0) continue;
      first = std::min(first, bucket);
      last = std::max(last, bucket);
    }
  });
  if (first > last) return section;
  for (std::size_t bucket = first; bucket <= last; ++bucket) {
    chart.x.push_back(static_cast<double>(offload::LatencyCounts::least_us(bucket)));
  }
  each_queue([&](std::size_t i, const offload::LatencyCounts& counts) {
    const std::string name(io::name_of(static_cast<offload::DiskQueue>(i)));
    const auto us = [&](double share) { return fmt::format("{:.0f} us", counts.quantile(share)); };
    table.rows.push_back(
        {name, std::to_string(counts.transfers()), us(.5), us(.9), us(.99), us(1)});
    Series series{name, static_cast<int>(i) + 1, {}};
    for (std::size_t bucket = first; bucket <= last; ++bucket) {
      series.values.push_back(static_cast<double>(counts.counts()[bucket]) /
                              static_cast<double>(counts.transfers()));
    }
    chart.series.push_back(std::move(series));
  });
  section.html = table_html(table);
  add_chart(section, std::move(chart));
  return section;
}

Section loss_section(const Findings& findings) {
  Section section{.id = "loss", .title = "Loss and speed", .html = {}};
  add_chart(section, loss_chart(findings));
  add_chart(section, speed_chart(findings));
  return section;
}

Section setting_section(const Findings& findings) {
  Section section{.id = "settings", .title = "Configuration and machine", .html = {}};
  if (findings.notes) {
    const ProfileNotes& notes = *findings.notes;
    section.html = table_html({.caption = "Where and when it was measured",
                               .head = {"what", "as measured"},
                               .rows = {{"machine", notes.machine},
                                        {"device", notes.device},
                                        {"date", notes.date + " UTC"},
                                        {"mneme", notes.version}},
                               .text_columns = 1});
  }
  section.html += "<details><summary>The configuration</summary><pre>" +
                  escape(engine::to_toml(findings.config)) + "</pre></details>\n";
  return section;
}

}  // namespace mneme::report
