#include "tools/ablate/replayable.h"

#include <fmt/format.h>

#include "engine/row_gradient_choice.h"
#include "engine/run_options.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/record_file.h"
#include "io/round_up.h"
#include "memory/value_table.h"
#include "offload/trace_tiers.h"

namespace mneme::ablate {
namespace {

// Whether the rows files might have no room for all rows, each with a record that is there and one
// that is on its way: a run ends at its limit, or writes earlier than it would.
bool may_fill_disk(const engine::Config& config) {
  constexpr std::uint64_t kLargestBlock = 4096;  // of direct I/O, as disks have it
  const std::uint64_t limit = config.tiers.store.disk_bytes;
  const std::uint64_t slot = io::round_up(
      io::RecordFile::kPayloadOffset + engine::row_layout(config).record_bytes(), kLargestBlock);
  return limit > 0 && 2 * config.table_rows() * slot > limit;
}

std::string reason_against(const engine::Config& config) {
  if (!config.has_memory()) return "it has no memory";
  if (config.tiers.automatic.any()) return "its budgets are chosen when it runs (auto)";
  if (config.tiers.prefetch != memory::PredictorKind::kNone) {
    return "what is hinted depends on what is where, and on time (tiers.prefetch)";
  }
  if (config.checkpoint.every > 0 || config.checkpoint.final) {
    return "what a checkpoint writes depends on what is where, and on time (checkpoint.every, "
           "checkpoint.final)";
  }
  if (may_fill_disk(config)) return "its rows files may come to their limit (tiers.disk_bytes)";
  return {};
}

// The same for all that replays of one trace can stand for. Of a link it counts whether its speed
// is declared: else it is that of the machine, which only a run measures; and so does how many
// reads are under way.
std::string group_of(engine::Config config) {
  offload::TierOptions& tiers = config.tiers.store;
  config.run.directory = "cell";
  config.run.trace = false;
  config.tiers.shares.device_percent.reset();
  config.tiers.shares.host_percent.reset();
  tiers.device_bytes = tiers.host_bytes = 1 << 20;
  tiers.device_policy = tiers.host_policy = kernels::ReplacementKind::kLru;
  tiers.evaluation_share = 0.5;
  if (tiers.disk_link_bytes_per_second > 0) tiers.io_depth = 1;
  for (double* speed : {&tiers.host_link_bytes_per_second, &tiers.disk_link_bytes_per_second}) {
    if (*speed > 0) *speed = 1e9;
  }
  return fmt::format("{:016x}", io::checksum64(std::string_view(engine::to_toml(config))));
}

}  // namespace

Replayable replayable(const engine::Config& config) {
  Replayable found;
  found.why_not = reason_against(config);
  if (!found.why_not.empty()) return found;
  try {
    found.tiers =
        offload::trace_tiers(memory::store_options(engine::value_table_options(config, 0)));
  } catch (const io::Error& error) {
    found.why_not = error.what();  // as its run will say
    return found;
  }
  found.group = group_of(config);
  return found;
}

}  // namespace mneme::ablate
