#include "offload/store_options.h"

#include <initializer_list>

#include "offload/mix.h"

namespace mneme::offload {

namespace {

std::uint64_t mixed(std::uint64_t id, std::initializer_list<std::uint64_t> parts) {
  for (const std::uint64_t part : parts) id = mix(id ^ part) + 0x9e3779b97f4a7c15ull;
  return id;
}

}  // namespace

io::RecordFileShape rows_file_shape(const StoreOptions& options) {
  const kernels::RecordLayout& layout = options.layout;
  std::uint64_t id = mixed(0, {options.run_id, options.table, options.rows, options.seed});
  for (int i = 0; i < layout.part_count; ++i) {
    const kernels::PartLayout& part = layout.parts[i];
    id = mixed(
        id, {part.columns.count, layout.record_bytes(), static_cast<std::uint64_t>(part.value_type),
             static_cast<std::uint64_t>(part.moment_type), part.moments, part.sum});
    // Of a part with all columns and no gradient its identity says no more: those of version 1 stay
    // valid.
    if (!part.columns.is_all()) id = mixed(id, {part.columns.first, part.columns.total});
    if (part.gradient) id = mixed(id, {part.gradient});
  }
  return {static_cast<std::uint32_t>(layout.record_bytes()), id};
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
