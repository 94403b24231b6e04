#include "tools/mneme/fill_rows.h"

#include <algorithm>
#include <numeric>

#include "kernels/device_array.h"

namespace mneme::tools {
namespace {

// Rows of a lease: enough to keep a bus busy, and few beside any tier worth filling.
constexpr std::int64_t kChunk = std::int64_t{1} << 17;

}  // namespace

void fill_rows(kernels::Backend& backend, kernels::Stream& stream, offload::TieredStore& store,
               const std::function<void(std::uint64_t)>& progress) {
  const auto rows = static_cast<std::int64_t>(store.options().rows);
  const std::int64_t chunk =
      std::min({kChunk, rows, store.lease_capacity(offload::LeaseMode::kTrain)});
  using kernels::DeviceArray;
  const auto host_ids = kernels::pinned_array<kernels::RowId>(backend, chunk);
  const DeviceArray<kernels::RowId> ids(backend, chunk);
  // Before the first step, so that to every step the rows look like those of an earlier one.
  store.begin_step(0);
  for (std::int64_t first = 0; first < rows;) {
    const std::int64_t count = std::min(chunk, rows - first);
    std::iota(host_ids.data(), host_ids.data() + count, static_cast<kernels::RowId>(first));
    backend.copy(stream, ids.data(), host_ids.data(), DeviceArray<kernels::RowId>::bytes(count));
    store
        .acquire(stream, {.rows = ids.data(), .count = count, .mode = offload::LeaseMode::kTrain},
                 {})
        .mark_dirty();
    stream.synchronize();  // the list of ids is used again
    first += count;
    if (progress) progress(static_cast<std::uint64_t>(first));
  }
}

}  // namespace mneme::tools
