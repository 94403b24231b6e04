// Copies values of a table's rows to and from host memory, for export, import and tests. Reading
// catches up copies of the records, so that no row of the table changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/tiered_store.h"

namespace mneme::memory {

class RecordExchange {
 public:
  RecordExchange(kernels::Backend& backend, offload::TieredStore& store);

  // Values of rows [first, first + count) as float32, current for currency.step.
  // out: [count, width].
  void read_values(const offload::Currency& currency, kernels::RowId first, std::int64_t count,
                   std::span<float> out);
  // Sets values, zero moments, current for `step`. values: [rows.size(), width].
  void write_values(std::span<const kernels::RowId> rows, std::span<const float> values,
                    std::uint64_t step);

 private:
  // Buffers of one batch; allocated by the first use, since most runs never need them.
  struct Scratch {
    Scratch(kernels::Backend& backend, const kernels::RecordLayout& layout);

    kernels::DeviceArray<std::byte> records;  // [kBatchRows * record_bytes], pinned host
    kernels::HostRecords host_records;
    kernels::DeviceArray<kernels::RowId> host_rows;    // [kBatchRows], pinned host
    kernels::DeviceArray<kernels::SlotId> host_slots;  // [kBatchRows], pinned host: 0, 1, 2, ...
    kernels::DeviceArray<float> host_values;           // [kBatchRows, width], pinned host
    kernels::DeviceArray<kernels::RowId> rows;         // [kBatchRows]
    kernels::DeviceArray<kernels::SlotId> slots;       // [kBatchRows]
    kernels::DeviceArray<float> device_values;         // [kBatchRows, width]
    kernels::DeviceArray<std::byte> values, moment1, moment2;
    kernels::DeviceArray<float> row_state;
    kernels::DeviceArray<std::uint32_t> last_step;
    kernels::RowArena arena;
    std::unique_ptr<kernels::Stream> stream;
  };
  Scratch& scratch();
  void read_batch(const offload::Currency& currency, kernels::RowId first, std::int64_t count,
                  float* out);

  kernels::Backend* backend_;
  offload::TieredStore* store_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace mneme::memory
