// mneme inspect: what a run directory holds.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "engine/metrics.h"
#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "engine/run_options.h"
#include "io/disk.h"
#include "io/human.h"
#include "io/progress.h"
#include "io/utf8.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {
namespace {

struct CheckpointLine {
  std::uint64_t step = 0;
  std::uint64_t touched_rows = 0;
  std::size_t table_files = 0;
  std::uint64_t dense_bytes = 0;
  std::optional<engine::RowPlaces> rows;  // as the checkpoint has noted them
};

// What there is to say of a run; without a checkpoint, too.
struct Description {
  engine::Config config;
  std::vector<CheckpointLine> checkpoints;
  std::uint64_t steps = 0;  // with a line in metrics.jsonl; of a run without a checkpoint
  std::uint64_t rows_bytes = 0;
  std::int64_t parameters = 0;
  std::uint64_t table_rows = 0;
  std::uint64_t record_bytes = 0;
};

CheckpointLine describe(const engine::RunDirectory& run, const engine::CheckpointEntry& entry) {
  CheckpointLine line = {entry.step,
                         run.row_table(entry).entries.size(),
                         entry.tables.empty() ? 0 : entry.tables[0].size(),
                         io::file_bytes(run.disk(), engine::checkpoints_directory(run.path()) +
                                                        "/" + entry.dense.name),
                         {}};
  if (!entry.rows.empty()) line.rows = entry.rows.front();
  return line;
}

Description describe(io::Disk& disk, const std::string& directory) {
  Description run;
  std::uint64_t id = 0;
  if (const auto unfinished = engine::unfinished_run(disk, directory)) {
    run.config = unfinished->config;
    id = unfinished->id;
    run.steps = engine::count_metrics(disk, engine::metrics_path(directory));
  } else {
    engine::read_settled(disk, directory, [&](const engine::RunDirectory& settled) {
      run.config = settled.config();
      id = settled.manifest().run.id;
      run.checkpoints.clear();
      for (const engine::CheckpointEntry& entry : settled.manifest().checkpoints) {
        run.checkpoints.push_back(describe(settled, entry));
      }
    });
  }
  run.config.run.directory = directory;
  for (const std::string& path : engine::rows_paths(run.config, id, 0)) {
    run.rows_bytes += io::file_bytes(disk, path);
  }
  for (const auto& declaration : engine::declare_parameters(engine::model_options(run.config))) {
    run.parameters += declaration.count();
  }
  if (run.config.has_memory()) {
    run.table_rows = run.config.table_rows();
    run.record_bytes =
        memory::store_options(engine::value_table_options(run.config, 0)).layout.record_bytes();
  }
  return run;
}

std::string json_text(const std::string& directory, const Description& run) {
  nlohmann::ordered_json object = {
      {"directory", io::bytes_to_utf8(directory)},
      {"dense_parameters", run.parameters},
      {"table_rows", run.table_rows},
      {"value_width", run.config.has_memory() ? run.config.value_width() : 0},
      {"row_parts", run.config.has_memory() ? run.config.row_parts() : 0},
      {"record_bytes", run.record_bytes},
      {"rows_file_bytes", run.rows_bytes},
      {"checkpoints", nlohmann::ordered_json::array()}};
  if (run.checkpoints.empty()) object["steps"] = run.steps;
  for (const CheckpointLine& line : run.checkpoints) {
    nlohmann::ordered_json entry = {{"step", line.step},
                                    {"touched_rows", line.touched_rows},
                                    {"table_files", line.table_files},
                                    {"dense_bytes", line.dense_bytes}};
    if (line.rows) {
      entry["rows"] = {{"device", line.rows->device},
                       {"host", line.rows->host},
                       {"disk", line.rows->disk},
                       {"untouched", line.rows->untouched}};
    }
    object["checkpoints"].push_back(std::move(entry));
  }
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string plain_text(const std::string& directory, const Description& run) {
  std::string text = fmt::format("{}: {} dense parameters", directory, run.parameters);
  if (run.table_rows > 0) {
    const int parts = run.config.row_parts();
    const std::int64_t numbers = parts * run.config.value_width();
    text += fmt::format(", {} table rows x {}{} ({} parameters, records of {})", run.table_rows,
                        parts == 1 ? "" : fmt::format("{} x ", parts), run.config.value_width(),
                        run.table_rows * static_cast<std::uint64_t>(numbers),
                        io::human_bytes(static_cast<double>(run.record_bytes)));
  }
  text += fmt::format("\nrows file {}\n", io::human_bytes(static_cast<double>(run.rows_bytes)));
  if (run.checkpoints.empty()) {
    text += fmt::format(
        "no checkpoint yet; {} steps in metrics.jsonl; unless it is in training, start it again: "
        "mneme train {} --set run.directory={}\n",
        run.steps, engine::config_path(directory), directory);
  }
  for (const CheckpointLine& line : run.checkpoints) {
    text += fmt::format("checkpoint of step {}: {} touched rows in {} table files, dense part {}\n",
                        line.step, line.touched_rows, line.table_files,
                        io::human_bytes(static_cast<double>(line.dense_bytes)));
    if (!line.rows) continue;
    text += fmt::format(
        "  rows when it was saved: {} in the device tier, {} in the host tier, {} on disk alone, "
        "{} untouched\n",
        line.rows->device, line.rows->host, line.rows->disk, line.rows->untouched);
  }
  return text;
}

}  // namespace

int run_inspect(const InspectOptions& options) {
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const auto disk = io::make_posix_disk();
  const Description run = describe(*disk, options.directory);
  fmt::print("{}",
             options.json ? json_text(options.directory, run) : plain_text(options.directory, run));
  return 0;
}

}  // namespace mneme::tools
