// mneme trace: what a trace holds (info), and its references for other programs (export).
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/run_files.h"
#include "io/disk.h"
#include "io/enum_names.h"
#include "io/error.h"
#include "io/human.h"
#include "io/progress.h"
#include "io/sequential_file.h"
#include "io/utf8.h"
#include "offload/trace/trace_summary.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/trace_path.h"

namespace mneme::tools {
namespace {

using offload::TraceReference;
using offload::TraceSummary;

std::string layer_text(std::int32_t layer) {
  return layer == offload::kNoLayer ? "-" : std::to_string(layer);
}

nlohmann::ordered_json counts_json(const std::map<offload::Account, TraceSummary::Count>& counts) {
  auto array = nlohmann::ordered_json::array();
  for (const auto& [account, count] : counts) {
    nlohmann::ordered_json object = {{"cause", io::name_of(account.cause)}, {"layer", nullptr}};
    if (account.layer != offload::kNoLayer) object["layer"] = account.layer;
    if (account.pass != offload::Pass::kNone) object["pass"] = io::name_of(account.pass);
    object["count"] = count.events;
    object["rows"] = count.rows;
    array.push_back(std::move(object));
  }
  return array;
}

nlohmann::ordered_json summary_json(const std::string& path, const TraceSummary& summary) {
  auto processes = nlohmann::ordered_json::array();
  for (const TraceSummary::Process& process : summary.processes) {
    const offload::TraceTiers& tiers = process.tiers;
    processes.push_back({{"after_step", process.steps_before},
                         {"continues", process.continues},
                         {"device_slots", tiers.device_slots},
                         {"evaluation_slots", tiers.evaluation_slots},
                         {"host_slots", tiers.host_slots},
                         {"record_bytes", tiers.record_bytes},
                         {"disks", tiers.disks},
                         {"disk_bytes", tiers.disk_bytes},
                         {"device_policy", io::name_of(tiers.device_policy)},
                         {"host_policy", io::name_of(tiers.host_policy)},
                         {"host_link_bytes_per_s", tiers.host_link},
                         {"disk_link_bytes_per_s", tiers.disk_link}});
  }
  return {{"trace", io::bytes_to_utf8(path)},
          {"run", engine::run_id_text(summary.header.run_id)},
          {"table", summary.header.table},
          {"rows", summary.header.rows},
          {"seed", summary.header.seed},
          {"steps", summary.steps},
          {"first_step", summary.first_step},
          {"last_step", summary.last_step},
          {"processes", std::move(processes)},
          {"leases", counts_json(summary.leases)},
          {"hints", counts_json(summary.hints)},
          {"checkpoints", summary.checkpoints},
          {"tokens", summary.tokens},
          {"frames", summary.frames},
          {"file_bytes", summary.file_bytes},
          {"event_bytes", summary.event_bytes},
          {"bytes_per_row", summary.bytes_per_row()},
          {"cut", summary.is_cut}};
}

std::string process_text(const TraceSummary::Process& process) {
  const offload::TraceTiers& tiers = process.tiers;
  std::string text =
      process.steps_before == 0
          ? std::string("a new run")
          : fmt::format("after step {}{}", process.steps_before,
                        process.continues ? ", going on from its checkpoint here" : "");
  text += fmt::format(": {} device slots ({}), {} for evaluation, ", tiers.device_slots,
                      io::name_of(tiers.device_policy), tiers.evaluation_slots);
  text += tiers.host_slots == 0
              ? std::string("no host tier")
              : fmt::format("{} host slots ({})", tiers.host_slots, io::name_of(tiers.host_policy));
  return text + fmt::format(", records of {} bytes\n", tiers.record_bytes);
}

std::string counts_text(const std::map<offload::Account, TraceSummary::Count>& counts) {
  std::string text;
  for (const auto& [account, count] : counts) {
    text += fmt::format("  {:<11} {:<9} {:>5} {:>12} {:>15}\n", io::name_of(account.cause),
                        account.pass == offload::Pass::kNone ? "-" : io::name_of(account.pass),
                        layer_text(account.layer), count.events, count.rows);
  }
  return text;
}

std::string summary_text(const std::string& path, const TraceSummary& summary) {
  std::string text = fmt::format("{}: table {} of run {}, {} rows; ", path, summary.header.table,
                                 engine::run_id_text(summary.header.run_id), summary.header.rows);
  text += summary.steps == 0 ? std::string("no step\n")
                             : fmt::format("{} steps, {} to {}\n", summary.steps,
                                           summary.first_step, summary.last_step);
  for (const TraceSummary::Process& process : summary.processes) text += process_text(process);
  const std::string head = fmt::format("  {:<11} {:<9} {:>5} {:>12} {:>15}\n", "cause", "pass",
                                       "layer", "count", "rows");
  if (!summary.leases.empty()) text += "leases\n" + head + counts_text(summary.leases);
  if (!summary.hints.empty()) text += "hints\n" + head + counts_text(summary.hints);
  text += fmt::format("{} checkpoints", summary.checkpoints);
  if (summary.micro_batches > 0) {
    text += fmt::format(", {} tokens of {} micro-batches", summary.tokens, summary.micro_batches);
  }
  text += fmt::format("\n{} in {} frames, {:.2f} bytes a row\n",
                      io::human_bytes(static_cast<double>(summary.file_bytes)), summary.frames,
                      summary.bytes_per_row());
  if (summary.is_cut) {
    text += "it ends within a frame: its process was killed there, or is writing\n";
  }
  return text;
}

// A file of the bytes that `produce(write)` writes, called twice: they are counted first.
template <typename Produce>
void write_counted(io::Disk& disk, const std::string& path, const Produce& produce) {
  std::uint64_t bytes = 0;
  produce([&](std::span<const std::byte> more) { bytes += more.size(); });
  io::SequentialWriter writer(disk, path, bytes);
  produce([&](std::span<const std::byte> more) { writer.append(more); });
  writer.finish();
}

class Exporter {
 public:
  Exporter(io::Disk& disk, std::string path, const TraceExportOptions& options,
           const InterruptGuard& interrupt)
      : disk_(disk), path_(std::move(path)), options_(options), interrupt_(interrupt) {}

  void write_csv() {
    write_counted(disk_, options_.output, [this](const auto& write) {
      std::string text = "step,lease,cause,layer,pass,read_only,row\n";
      const auto flush = [&] {
        write(std::as_bytes(std::span(text)));
        text.clear();
      };
      visit([&](const TraceReference& reference) {
        fmt::format_to(
            std::back_inserter(text), "{},{},{},{},{},{},{}\n", reference.step, reference.lease,
            io::name_of(reference.account.cause),
            reference.account.layer == offload::kNoLayer ? ""
                                                         : std::to_string(reference.account.layer),
            io::name_of(reference.account.pass), reference.read_only ? 1 : 0, reference.row);
        if (text.size() > (std::size_t{1} << 16)) flush();
      });
      flush();
    });
  }

  // libCacheSim's: u32 time, u64 object, u32 size, i64 number of the object's next request, or -1.
  // Times are steps; a row has size 1, so that sizes of caches are rows.
  void write_oracle_general() {
    constexpr std::size_t kRecord = 24;
    std::vector<std::uint32_t> rows, steps;
    std::uint32_t most = 0;
    visit([&](const TraceReference& reference) {
      rows.push_back(reference.row);
      steps.push_back(static_cast<std::uint32_t>(reference.step));
      most = std::max(most, reference.row);
    });
    std::vector<std::int64_t> next(rows.size());
    std::vector<std::int64_t> last(rows.empty() ? 0 : std::size_t{most} + 1, -1);
    for (std::size_t i = rows.size(); i-- > 0;) {
      next[i] = std::exchange(last[rows[i]], static_cast<std::int64_t>(i));
    }
    io::SequentialWriter writer(disk_, options_.output, rows.size() * kRecord);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i % 65536 == 0) interrupt_.check();
      std::byte record[kRecord];
      const std::uint64_t object = rows[i];
      const std::uint32_t size = 1;
      std::memcpy(record, &steps[i], 4);
      std::memcpy(record + 4, &object, 8);
      std::memcpy(record + 12, &size, 4);
      std::memcpy(record + 16, &next[i], 8);
      writer.append(record);
    }
    writer.finish();
  }

 private:
  template <typename Visit>
  void visit(const Visit& visit) const {
    offload::TraceReader reader(disk_, path_);
    offload::for_each_reference(reader,
                                {.all = options_.all, .forward_only = options_.forward_only}, visit,
                                [this] { interrupt_.check(); });
  }

  io::Disk& disk_;
  std::string path_;
  const TraceExportOptions& options_;
  const InterruptGuard& interrupt_;
};

}  // namespace

std::string trace_of(const io::Disk& disk, const std::string& path) {
  if (!disk.is_directory(path)) return path;
  const std::vector<std::string> paths = engine::trace_paths(disk, path, 0);
  if (paths.empty()) {
    io::fail("{}: there is no trace in its folder trace; train with --set run.trace=true", path);
  }
  return paths.back();
}

int run_trace_info(const TraceInfoOptions& options) {
  const InterruptGuard interrupt;
  const auto disk = io::make_posix_disk();
  const std::string path = trace_of(*disk, options.path);
  offload::TraceReader reader(*disk, path);
  const TraceSummary summary = offload::summarise(reader, [&] { interrupt.check(); });
  if (options.json) {
    fmt::print("{}\n", summary_json(path, summary).dump());
  } else {
    fmt::print("{}", summary_text(path, summary));
  }
  return 0;
}

int run_trace_export(const TraceExportOptions& options) {
  const InterruptGuard interrupt;
  const auto disk = io::make_posix_disk();
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  Exporter exporter(*disk, trace_of(*disk, options.path), options, interrupt);
  if (options.format == TraceFormat::kCsv) {
    exporter.write_csv();
  } else {
    exporter.write_oracle_general();
  }
  fmt::print("{}: {}\n", options.output,
             io::human_bytes(static_cast<double>(io::file_bytes(*disk, options.output))));
  return 0;
}

}  // namespace mneme::tools
