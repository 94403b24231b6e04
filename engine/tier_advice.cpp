#include "engine/tier_advice.h"

#include <fmt/format.h>

#include "engine/config_reader.h"
#include "io/round_up.h"

namespace mneme::engine {

std::string device_tier_advice(const StepMetrics& metrics, const offload::TieredStore& store) {
  const std::int64_t slots = store.lease_capacity(offload::LeaseMode::kTrain);
  if (metrics.distinct_rows <= slots) return {};
  const auto rows = static_cast<std::uint64_t>(metrics.distinct_rows);
  const std::uint64_t bytes = offload::device_bytes_for(store.options(), rows);
  const std::uint64_t unit = bytes < (std::uint64_t{8} << 20) ? 1 << 10 : 1 << 20;
  return fmt::format(
      "step {}: its {} rows are more than the device tier holds ({}), so each came {:.1f} times; "
      "tiers.device_bytes={} would hold them, now it is {}",
      metrics.step, rows, slots, metrics.fetched_share(), format_bytes(io::round_up(bytes, unit)),
      format_bytes(store.options().tiers.device_bytes));
}

}  // namespace mneme::engine
