// Drives a tiered store with a deterministic sequence of leases and updates, and keeps what every
// record must hold. Used by the tests of promises 1, 4 and 5.
#pragma once

#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "kernels/backend.h"
#include "offload/tiered_store.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::offload::testing {

inline constexpr std::uint32_t kWidth = 6;

inline StoreOptions small_store(std::uint64_t rows) {
  StoreOptions options;
  options.rows = rows;
  options.layout = kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(kWidth)});
  options.initial_standard_deviation[0] = 0.5f;
  options.seed = 11;
  options.paths = {"/run/rows/table-0.rows"};
  options.tiers.device_bytes = 1 << 20;
  options.tiers.host_bytes = 1 << 20;
  options.tiers.io_depth = 8;
  return options;
}

// Device memory of `slots` training slots and the minimum for evaluation.
inline std::uint64_t bytes_for_slots(const StoreOptions& options, std::uint64_t slots) {
  const std::uint64_t slot = minimum_device_bytes(options.layout) / 16;  // 8 + 8 slots at the least
  return slot * (slots + 8);
}

class StoreRun {
 public:
  StoreRun(kernels::Backend& backend, TieredStore& store, std::uint64_t seed)
      : backend_(backend), store_(store), stream_(backend.create_stream()), random_(seed) {
    const std::size_t rows = store.options().rows;
    rows_ = backend.allocate(rows * 4, kernels::MemoryKind::kPinnedHost);
  }

  // One training step on a random set of rows: every row's values become value * 0.5 + f(row,
  // step), its moments count uses, of
  // each part. Sets larger than the device tier go in chunks.
  void step(std::uint64_t step, std::size_t most_rows) {
    store_.begin_step(step);
    std::set<kernels::RowId> chosen;
    const std::size_t count = 1 + random_() % most_rows;
    const std::uint64_t rows = store_.options().rows;
    while (chosen.size() < std::min<std::size_t>(count, rows)) {
      // Half of the picks fall on the first eighth: some rows are hot.
      const std::uint64_t range = random_() % 2 == 0 ? std::max<std::uint64_t>(rows / 8, 1) : rows;
      chosen.insert(static_cast<kernels::RowId>(random_() % range));
    }
    std::size_t at = 0;
    for (const kernels::RowId row : chosen) rows_.as<kernels::RowId>()[at++] = row;
    for (std::size_t first = 0; first < chosen.size();) {
      const auto batch = std::min<std::int64_t>(store_.lease_capacity(LeaseMode::kTrain),
                                                std::int64_t(chosen.size() - first));
      Lease lease = store_.acquire(
          *stream_,
          {.rows = rows_.as<kernels::RowId>() + first, .count = batch, .mode = LeaseMode::kTrain},
          {});
      stream_->synchronize();
      update(lease, rows_.as<kernels::RowId>() + first, step);
      lease.mark_dirty();
      first += static_cast<std::size_t>(batch);
    }
  }

  std::vector<std::byte> all_records() {
    const std::size_t bytes = store_.options().layout.record_bytes();
    std::vector<std::byte> records(store_.options().rows * bytes);
    store_.read_records(0, std::int64_t(store_.options().rows), records.data());
    return records;
  }

 private:
  // On the host, through records: the lease's rows are device memory.
  void update(const Lease& lease, const kernels::RowId* rows, std::uint64_t step) {
    const kernels::RecordLayout& layout = lease.arena().layout;
    const auto count = static_cast<std::size_t>(lease.count());
    const std::size_t bytes = layout.record_bytes();
    const kernels::Buffer memory =
        backend_.allocate(count * bytes, kernels::MemoryKind::kPinnedHost);
    const kernels::HostRecords records =
        kernels::HostRecords::in_one_piece(memory.as<std::byte>(), bytes);
    backend_.pack_records(*stream_, lease.arena(), records, nullptr, lease.slots(), lease.count());
    stream_->synchronize();
    for (std::uint32_t i = 0; i < count; ++i) {
      update_record(layout, records.record(i), rows[i], step);
    }
    backend_.unpack_records(*stream_, lease.arena(), records, nullptr, lease.slots(),
                            lease.count());
    stream_->synchronize();
  }

  static void update_record(const kernels::RecordLayout& layout, std::byte* record,
                            kernels::RowId row, std::uint64_t step) {
    auto* head = reinterpret_cast<std::uint32_t*>(record);
    head[0] = static_cast<std::uint32_t>(step);
    if (layout.has_moments()) head[2] = static_cast<std::uint32_t>(step % 3);
    for (int part = 0; part < layout.part_count; ++part) {
      auto* values = reinterpret_cast<float*>(record + layout.value_offset(part));
      auto* moment1 = reinterpret_cast<float*>(record + layout.moment1_offset(part));
      auto* moment2 = reinterpret_cast<float*>(record + layout.moment2_offset(part));
      for (std::uint32_t c = 0; c < layout.parts[part].columns.count; ++c) {
        values[c] = values[c] * 0.5f + float(row + 1) * 0.25f + float(step) + float(c);
        if (!layout.parts[part].moments) continue;
        moment1[c] += 1.0f;
        moment2[c] = moment2[c] * 2.0f + float(row);
      }
      auto* sum = reinterpret_cast<float*>(record) + (part == 0 ? 1 : 3);
      if (layout.parts[part].sum) *sum += float(step);
    }
  }

  kernels::Backend& backend_;
  TieredStore& store_;
  std::unique_ptr<kernels::Stream> stream_;
  std::mt19937_64 random_;
  kernels::Buffer rows_;
};

}  // namespace mneme::offload::testing
