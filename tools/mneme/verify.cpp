// mneme verify: reads every checksum of a run's kept checkpoints.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "engine/progress.h"
#include "engine/run.h"
#include "io/disk.h"
#include "io/file_lock.h"
#include "memory/value_table.h"
#include "offload/rows_file.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/run_directory.h"

namespace mneme::tools {

int run_verify(const VerifyOptions& options) {
  const engine::Config config = read_run_config(options.directory);
  const auto disk = io::make_posix_disk();
  const io::FileLock lock(config.run.directory);
  engine::Run run(config, *disk);
  const engine::Manifest manifest =
      engine::read_manifest(*disk, engine::Checkpointer::directory(config.run.directory));
  for (const engine::CheckpointEntry& entry : manifest.checkpoints)
    run.checkpoints().load_dense(entry);
  offload::VerifiedRows rows;
  if (run.table() != nullptr) {
    engine::Progress progress(std::cerr, engine::standard_error_progress(64));
    rows = offload::verify_rows_file(
        *disk, run.table()->store().options(), run.checkpoints().tables(manifest, 0),
        [&](std::uint64_t done, std::uint64_t all) {
          progress.update(done, all, fmt::format("{} of {} records", done, all));
        });
  }
  if (options.json) {
    const nlohmann::ordered_json object = {{"checkpoints", manifest.checkpoints.size()},
                                           {"records", rows.records},
                                           {"bytes", rows.bytes},
                                           {"intact", true}};
    fmt::print("{}\n", object.dump());
    return 0;
  }
  fmt::print("{}: {} checkpoints, {} records ({}) intact\n", options.directory,
             manifest.checkpoints.size(), rows.records,
             engine::human_bytes(static_cast<double>(rows.bytes)));
  return 0;
}

}  // namespace mneme::tools
