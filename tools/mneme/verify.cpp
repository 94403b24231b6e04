// mneme verify: reads every checksum of a run's kept checkpoints.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "engine/progress.h"
#include "engine/run_directory.h"
#include "io/disk.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

int run_verify(const VerifyOptions& options) {
  const auto disk = io::make_posix_disk();
  engine::VerifiedRun verified;
  {
    engine::Progress progress(std::cerr, engine::standard_error_progress(64));
    verified =
        engine::verify_run(*disk, options.directory, [&](std::uint64_t done, std::uint64_t all) {
          progress.update(done, all, fmt::format("{} of {} records", done, all));
        });
  }
  if (options.json) {
    const nlohmann::ordered_json object = {{"checkpoints", verified.checkpoints},
                                           {"records", verified.records},
                                           {"bytes", verified.bytes},
                                           {"intact", true}};
    fmt::print("{}\n", object.dump());
    return 0;
  }
  fmt::print("{}: {} checkpoints, {} records ({}) intact\n", options.directory,
             verified.checkpoints, verified.records,
             engine::human_bytes(static_cast<double>(verified.bytes)));
  return 0;
}

}  // namespace mneme::tools
