#include "engine/preflight.h"

#include <string>

#include "engine/progress.h"
#include "engine/run_files.h"
#include "io/aligned_buffer.h"
#include "io/error.h"
#include "io/file_io.h"

namespace mneme::engine {
namespace {

// Makes, writes and removes a file.
void try_to_write(io::Disk& disk, const std::string& directory, const io::OpenOptions& options) {
  const std::string path = probe_path(directory);
  {
    const auto file = disk.open(path, options);
    io::AlignedBuffer block(file->alignment(), file->alignment());
    io::write_blocks(*file, 0, block.span());
  }
  disk.remove(path);
}

}  // namespace

void check_outputs(io::Disk& disk, Run& run) {
  const std::string& directory = run.config().run.directory;
  const std::string checkpoints = checkpoints_directory(directory);
  try_to_write(disk, checkpoints,
               {.create = true, .direct = false, .depth = 1, .engine = io::IoEngine::kSync});
  if (run.table() != nullptr) {
    const offload::TierOptions& tiers = run.config().tiers.store;
    try_to_write(disk, rows_directory(directory),
                 {.create = true,
                  .direct = tiers.direct_io,
                  .depth = tiers.io_depth,
                  .engine = tiers.io_engine});
  }
  // Values and two moments of each dense parameter, beside the newest checkpoint that there is.
  const auto needed =
      static_cast<std::uint64_t>(run.model().parameters().parameter_count()) * 3 * sizeof(float);
  const std::uint64_t available = disk.available_bytes(checkpoints);
  if (available < needed) {
    io::fail(
        "{}: a checkpoint needs {}, and the disk has {} left; free some space or use another disk",
        checkpoints, human_bytes(static_cast<double>(needed)),
        human_bytes(static_cast<double>(available)));
  }
}

}  // namespace mneme::engine
