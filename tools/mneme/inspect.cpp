// mneme inspect: what a run directory holds.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "engine/run_directory.h"
#include "engine/run_files.h"
#include "engine/run_options.h"
#include "io/disk.h"
#include "io/human.h"
#include "io/utf8.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {
namespace {

struct CheckpointLine {
  std::uint64_t step = 0;
  std::uint64_t touched_rows = 0;
  std::size_t table_files = 0;
  std::uint64_t dense_bytes = 0;
};

CheckpointLine describe(const engine::RunDirectory& run, const engine::CheckpointEntry& entry) {
  return {entry.step, run.row_table(entry).entries.size(),
          entry.tables.empty() ? 0 : entry.tables[0].size(),
          io::file_bytes(run.disk(),
                         engine::checkpoints_directory(run.path()) + "/" + entry.dense.name)};
}

}  // namespace

int run_inspect(const InspectOptions& options) {
  const auto disk = io::make_posix_disk();
  engine::Config config;
  std::vector<CheckpointLine> lines;
  engine::read_settled(*disk, options.directory, [&](const engine::RunDirectory& run) {
    config = run.config();
    lines.clear();
    for (const engine::CheckpointEntry& entry : run.manifest().checkpoints) {
      lines.push_back(describe(run, entry));
    }
  });
  const std::uint64_t rows_bytes = io::file_bytes(*disk, engine::rows_path(options.directory, 0));
  std::int64_t parameters = 0;
  for (const auto& declaration : engine::declare_parameters(engine::model_options(config))) {
    parameters += declaration.count();
  }
  const std::uint64_t table_rows = config.has_memory() ? config.table_rows() : 0;
  const std::uint64_t record_bytes =
      config.has_memory()
          ? memory::store_options(engine::value_table_options(config, 0)).layout.record_bytes()
          : 0;
  if (options.json) {
    nlohmann::ordered_json object = {
        {"directory", io::bytes_to_utf8(options.directory)},
        {"dense_parameters", parameters},
        {"table_rows", table_rows},
        {"value_width", config.has_memory() ? config.value_width() : 0},
        {"record_bytes", record_bytes},
        {"rows_file_bytes", rows_bytes},
        {"checkpoints", nlohmann::ordered_json::array()}};
    for (const CheckpointLine& line : lines) {
      object["checkpoints"].push_back({{"step", line.step},
                                       {"touched_rows", line.touched_rows},
                                       {"table_files", line.table_files},
                                       {"dense_bytes", line.dense_bytes}});
    }
    fmt::print("{}\n", object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return 0;
  }
  fmt::print("{}: {} dense parameters", options.directory, parameters);
  if (table_rows > 0) {
    fmt::print(", {} table rows x {} ({} parameters, records of {})", table_rows,
               config.value_width(), table_rows * static_cast<std::uint64_t>(config.value_width()),
               io::human_bytes(static_cast<double>(record_bytes)));
  }
  fmt::print("\nrows file {}\n", io::human_bytes(static_cast<double>(rows_bytes)));
  for (const CheckpointLine& line : lines) {
    fmt::print("checkpoint of step {}: {} touched rows in {} table files, dense part {}\n",
               line.step, line.touched_rows, line.table_files,
               io::human_bytes(static_cast<double>(line.dense_bytes)));
  }
  return 0;
}

}  // namespace mneme::tools
