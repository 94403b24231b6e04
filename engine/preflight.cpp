#include "engine/preflight.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "engine/config_reader.h"
#include "engine/run_files.h"
#include "engine/run_options.h"
#include "io/aligned_buffer.h"
#include "io/error.h"
#include "io/file_io.h"
#include "io/human.h"
#include "offload/disk/disk_engine.h"

namespace mneme::engine {
namespace {

// Makes, writes and removes a file.
void try_to_write(io::Disk& disk, const std::string& directory, const io::OpenOptions& options) {
  const std::string path = probe_path(directory);
  try {
    const auto file = disk.open(path, options);
    io::AlignedBuffer block(file->alignment(), file->alignment());
    io::write_blocks(*file, 0, block.span());
  } catch (const io::Error&) {
    disk.remove(path);
    throw;
  }
  disk.remove(path);
}

}  // namespace

void check_tier_memory(const Config& config, bool device_has_memory,
                       std::uint64_t available_bytes) {
  if (!config.has_memory()) return;
  const offload::StoreOptions store = memory::store_options(value_table_options(config, 0));
  const std::uint64_t device = device_has_memory ? 0 : offload::device_tier_bytes(store);
  const std::uint64_t host = offload::host_tier_bytes(store);
  const std::uint64_t copies =
      config.saves_behind_training() ? offload::save_buffer_bytes(store) : 0;
  if (device + host + copies <= available_bytes) return;
  const auto budget = [](const char* key, std::uint64_t bytes) {
    return fmt::format("tiers.{} = {}", key, format_bytes(bytes));
  };
  std::string keys;
  if (device > 0) keys = budget("device_bytes", store.tiers.device_bytes);
  if (host > 0) {
    keys += (keys.empty() ? "" : " and ") + budget("host_bytes", store.tiers.host_bytes);
  }
  if (copies > 0) {
    keys += fmt::format("{}checkpoint.copy_bytes = {}", keys.empty() ? "" : " and ",
                        format_bytes(config.checkpoint.copy_bytes));
  }
  io::fail("{}: the rows would take {} of the machine's memory, and {} are free; lower {}", keys,
           io::human_bytes(static_cast<double>(device + host + copies)),
           io::human_bytes(static_cast<double>(available_bytes)),
           (device > 0) + (host > 0) + (copies > 0) > 1 ? "one of them" : "it");
}

void check_outputs(io::Disk& disk, Run& run) {
  const std::string& directory = run.config().run.directory;
  const std::string checkpoints = checkpoints_directory(directory);
  try_to_write(disk, checkpoints,
               {.create = true, .direct = false, .depth = 1, .engine = io::IoEngine::kSync});
  if (run.table() != nullptr) {
    const offload::TierOptions& tiers = run.config().tiers.store;
    std::vector<std::string> folders = run.config().tiers.disk_paths;
    for (const std::string& folder : folders) {
      if (disk.is_directory(folder)) continue;
      io::fail("tiers.disk_paths: {}: there is no such folder; mount its disk, or make it", folder);
    }
    if (folders.empty()) folders.push_back(rows_directory(directory));
    for (const std::string& folder : folders) {
      try_to_write(disk, folder,
                   {.create = true,
                    .direct = tiers.direct_io,
                    .depth = offload::DiskEngine::ring_depth(tiers.io_depth),
                    .engine = tiers.io_engine});
    }
  }
  // Values and two moments of each dense parameter, beside the newest checkpoint that there is.
  const auto needed =
      static_cast<std::uint64_t>(run.model().parameters().parameter_count()) * 3 * sizeof(float);
  const std::uint64_t available = disk.available_bytes(checkpoints);
  if (available < needed) {
    io::fail(
        "{}: a checkpoint needs {}, and the disk has {} left; free some space or use another disk",
        checkpoints, io::human_bytes(static_cast<double>(needed)),
        io::human_bytes(static_cast<double>(available)));
  }
}

}  // namespace mneme::engine
