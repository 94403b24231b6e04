#include "offload/store_options.h"

#include "offload/mix.h"

namespace mneme::offload {

io::RecordFileShape rows_file_shape(const StoreOptions& options) {
  std::uint64_t id = 0;
  for (const std::uint64_t part :
       {options.run_id, std::uint64_t{options.table}, options.rows, options.seed,
        std::uint64_t{options.layout.width}, std::uint64_t{options.layout.record_bytes()},
        static_cast<std::uint64_t>(options.layout.value_type),
        static_cast<std::uint64_t>(options.layout.moment_type),
        std::uint64_t{options.layout.moments}, std::uint64_t{options.layout.row_state}}) {
    id = mix(id ^ part) + 0x9e3779b97f4a7c15ull;
  }
  return {static_cast<std::uint32_t>(options.layout.record_bytes()), id};
}

io::OpenOptions rows_file_options(const StoreOptions& options) {
  io::OpenOptions open;
  open.read_only = options.read_only;
  open.direct = options.tiers.direct_io;
  open.depth = options.tiers.io_depth;
  open.engine = options.tiers.io_engine;
  return open;
}

}  // namespace mneme::offload
