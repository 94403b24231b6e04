#include "engine/memory_use.h"

#include <memory>

#include "engine/model.h"
#include "engine/model_costs.h"
#include "engine/optimizer.h"
#include "engine/prefetch/predictor_options.h"
#include "engine/run_options.h"
#include "io/disk.h"
#include "kernels/sizing_backend.h"
#include "memory/value_table.h"
#include "offload/tier_sizes.h"

namespace mneme::engine {
namespace {

// Of a CUDA device (kernels/cuda/device_arena.h).
constexpr std::size_t kCudaAlignment = 256;

// Takes what has been allocated since the last call.
class Difference {
 public:
  explicit Difference(const kernels::AllocatedBytes& now) : now_(now) {}
  kernels::AllocatedBytes take() {
    const kernels::AllocatedBytes taken{now_.device - before_.device, now_.pinned - before_.pinned};
    before_ = now_;
    return taken;
  }

 private:
  const kernels::AllocatedBytes& now_;
  kernels::AllocatedBytes before_;
};

// Whether rows files are opened, which is when the first row goes there, and then buffers made.
bool uses_disk(const Config& config, const offload::StoreOptions& store) {
  const offload::TierSizes sizes = offload::tier_sizes(store);
  return std::uint64_t{sizes.training} + sizes.host < store.rows || config.checkpoint.final ||
         config.checkpoint.every > 0;
}

}  // namespace

MemoryUse memory_use(const Config& config, bool on_cuda) {
  kernels::AllocatedBytes allocated;
  Difference difference(allocated);
  const auto disk = io::make_posix_disk();
  const auto backend = kernels::make_sizing_backend(
      {.compute_type = on_cuda ? config.run.compute_type : kernels::FloatType::kF32,
       .device_alignment = on_cuda ? kCudaAlignment : 1},
      allocated);
  MemoryUse use;
  std::unique_ptr<memory::ValueTable> table;
  if (config.has_memory()) {
    table = std::make_unique<memory::ValueTable>(*backend, *disk,
                                                 value_table_options(config, /*run_id=*/0));
    const offload::StoreOptions& store = table->store().options();
    const kernels::AllocatedBytes taken = difference.take();
    use.device_tier = offload::device_tier_bytes(store);
    use.device_table = taken.device - use.device_tier;
    use.host_tier = offload::host_tier_bytes(store);
    use.host_staging = taken.pinned - use.host_tier;
    if (uses_disk(config, store)) {
      use.host_staging += offload::TieredStore::disk_staging_bytes(store);
    }
  }
  Model model(*backend, model_options(config), table.get());
  const DenseOptimizer optimizer(*backend, model.parameters(), dense_optimizer_options(config));
  const kernels::AllocatedBytes taken = difference.take();
  use.parameters = model.parameters().device_bytes();
  use.activations = taken.device - use.parameters;
  use.host_staging += taken.pinned;
  const PrefetchMemory prefetch = prefetch_memory(config);
  use.prediction = prefetch.bytes.device_bytes;
  use.host_prediction = prefetch.bytes.pinned_bytes + prefetch.bytes.host_bytes;
  return use;
}

}  // namespace mneme::engine
