// mneme verify: reads every checksum of a run's kept checkpoints.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "engine/run_directory.h"
#include "io/disk.h"
#include "io/human.h"
#include "io/progress.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"

namespace mneme::tools {

int run_verify(const VerifyOptions& options) {
  const InterruptGuard interrupt;
  const auto disk = io::make_posix_disk();
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const engine::VerifiedRun verified = engine::verify_run(
      *disk, options.directory, [&](std::uint64_t, std::uint64_t) { interrupt.check(); });
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
             io::human_bytes(static_cast<double>(verified.bytes)));
  return 0;
}

}  // namespace mneme::tools
