#include "memory/table_layer.h"

#include "io/error.h"

namespace mneme::memory {
namespace {

std::int64_t value_width_of(const TableLayerOptions& options) {
  return options.value_width != 0 ? options.value_width : options.width;
}

ProductKeyOptions checked_keys(const TableLayerOptions& options, const ValueTable& table,
                               const char* kind) {
  const ValueTableOptions& values = table.options();
  if (value_width_of(options) != values.width) {
    io::fail("{}: value_width is {} but the value table's is {}; they must be equal", kind,
             value_width_of(options), values.width);
  }
  const auto wanted_rows = static_cast<std::uint64_t>(options.half_keys * options.half_keys);
  if (wanted_rows != values.rows) {
    io::fail("{}: {} half-keys select from {} rows but the value table has {}", kind,
             options.half_keys, wanted_rows, values.rows);
  }
  if (options.lookups() != values.lookups_per_token) {
    io::fail("{}: {} heads times {} rows is not the value table's {} lookups a token", kind,
             options.heads, options.knn, values.lookups_per_token);
  }
  if (options.tokens > values.tokens_per_call) {
    io::fail("{}: {} tokens a call, but the value table is made for {}", kind, options.tokens,
             values.tokens_per_call);
  }
  return {.width = options.width,
          .search = {.heads = options.heads,
                     .knn = options.knn,
                     .half_keys = options.half_keys,
                     .key_width = options.key_width,
                     .norm = options.query_key_norm,
                     .tokens = options.tokens}};
}

}  // namespace

TableLayer::TableLayer(kernels::Backend& backend, ValueTable& table,
                       const TableLayerOptions& options, const char* kind)
    : backend_(backend),
      table_(table),
      type_(backend.compute_type()),
      width_(options.width),
      value_width_(value_width_of(options)),
      keys_(backend, checked_keys(options, table, kind)),
      lookups_(table.make_lookup_set(options.layer)) {}

}  // namespace mneme::memory
