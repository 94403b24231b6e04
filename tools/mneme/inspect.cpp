// mneme inspect: what a run directory holds.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/progress.h"
#include "engine/run.h"
#include "io/disk.h"
#include "io/utf8.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/run_directory.h"

namespace mneme::tools {
namespace {

struct CheckpointLine {
  std::uint64_t step = 0;
  std::uint64_t touched_rows = 0;
  std::size_t table_files = 0;
  std::uint64_t dense_bytes = 0;
};

}  // namespace

int run_inspect(const InspectOptions& options) {
  const engine::Config config = read_run_config(options.directory);
  const auto disk = io::make_posix_disk();
  engine::Run run(config, *disk);
  const std::string directory = engine::Checkpointer::directory(config.run.directory);
  const engine::Manifest manifest = engine::read_manifest(*disk, directory);
  std::vector<CheckpointLine> lines;
  const auto tables = run.table() == nullptr
                          ? std::vector<offload::CheckpointTable>(manifest.checkpoints.size())
                          : run.checkpoints().tables(manifest, 0);
  for (std::size_t i = 0; i < manifest.checkpoints.size(); ++i) {
    const engine::CheckpointEntry& entry = manifest.checkpoints[i];
    lines.push_back({entry.step, tables[i].entries.size(),
                     entry.tables.empty() ? 0 : entry.tables[0].size(),
                     std::filesystem::file_size(directory + "/" + entry.dense)});
  }
  const std::string rows_path = engine::Checkpointer::rows_path(config.run.directory, 0);
  const std::uint64_t rows_bytes =
      std::filesystem::exists(rows_path) ? std::filesystem::file_size(rows_path) : 0;
  const std::int64_t parameters = run.model().parameters().parameter_count();
  const std::uint64_t table_rows = config.has_memory() ? config.table_rows() : 0;
  const std::uint64_t record_bytes =
      config.has_memory() ? run.table()->store().options().layout.record_bytes() : 0;
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
    fmt::print("{}\n", object.dump());
    return 0;
  }
  fmt::print("{}: {} dense parameters", options.directory, parameters);
  if (table_rows > 0) {
    fmt::print(", {} table rows x {} ({} parameters, records of {})", table_rows,
               config.value_width(), table_rows * static_cast<std::uint64_t>(config.value_width()),
               engine::human_bytes(static_cast<double>(record_bytes)));
  }
  fmt::print("\nrows file {}\n", engine::human_bytes(static_cast<double>(rows_bytes)));
  for (const CheckpointLine& line : lines) {
    fmt::print("checkpoint of step {}: {} touched rows in {} table files, dense part {}\n",
               line.step, line.touched_rows, line.table_files,
               engine::human_bytes(static_cast<double>(line.dense_bytes)));
  }
  return 0;
}

}  // namespace mneme::tools
