// Copies values of a table's rows to and from host memory, for export, import and tests. Reading
// catches up copies of the records, so that no row of the table changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "offload/tiered_store.h"

namespace mneme::memory {

class RecordExchange {
 public:
  RecordExchange(kernels::Backend& backend, offload::TieredStore& store);

  // Values of rows as float32, current for currency.step. rows: distinct, ascending. out:
  // [rows.size(), parts, width]. between: called after each batch, where given. REQUIRES: no
  // read-only lease is live.
  void read_values(const offload::Currency& currency, std::span<const kernels::RowId> rows,
                   std::span<float> out, const std::function<void()>& between = {});
  // Sets values, zero moments, current for `step`. values: [rows.size(), parts, width].
  void write_values(std::span<const kernels::RowId> rows, std::span<const float> values,
                    std::uint64_t step);

 private:
  // Buffers of one batch; allocated by the first use, since most runs never need them.
  struct Reading {
    Reading(kernels::Backend& backend, std::int64_t rows, std::int64_t width);

    std::int64_t most = 0;                           // rows
    kernels::DeviceArray<kernels::RowId> host_rows;  // [most], pinned host
    kernels::DeviceArray<kernels::RowId> rows;       // [most]
    kernels::DeviceArray<float> values;              // of each part [rows of the batch, width]
    kernels::DeviceArray<float> host_values;         // the same, pinned host
    std::unique_ptr<kernels::Stream> stream;
  };
  Reading& reading();
  void read_stored(const offload::Currency& currency, std::span<const kernels::RowId> rows,
                   std::span<float> out, const std::function<void()>& between);
  void read_leased(const offload::Currency& currency, std::span<const kernels::RowId> rows,
                   std::span<float> out, const std::function<void()>& between);
  void read_batch(const offload::Currency& currency, std::span<const kernels::RowId> rows,
                  float* out);
  // Queues reading the values of a batch of `count` rows, all parts, to host memory.
  void queue_values(const kernels::RowArena& arena, const kernels::SlotId* slots,
                    std::int64_t count);
  // Once they are there: those of its row `index`.
  void take_values(std::int64_t index, std::int64_t count, float* out);

  kernels::Backend* backend_;
  offload::TieredStore* store_;
  std::unique_ptr<Reading> reading_;
};

}  // namespace mneme::memory
