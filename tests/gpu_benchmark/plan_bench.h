// Two tiers of a large table and a step's plan for them, as the benchmarks of the step plan need
// them.
//
// A table of 67M rows; in each group of four rows, one is on the device, one in the host tier, one
// on disk, one untouched. All 16M device slots are taken, by dirty rows; one of every eight of the
// 16M host slots is free. A step looks up 4M rows, one of every 16, twice each: half of them are on
// the device, a quarter in the host tier or, one of eight of these, on disk. The others take the
// slots of the least recently used rows, which then go to the host tier.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "tests/gpu_benchmark/bench.h"

namespace mneme::gpu_benchmark {

class PlanBench {
 public:
  PlanBench();

  void group() { backend_.group_lookups(stream_, grouped_); }
  // The plan's operations, in order.
  void look_up();
  void lease();
  void select();
  void release();
  void bind();
  void demote();
  void use();
  void all();

  // Least bytes, see docs/cuda.md.
  Work group_work() const;
  Work look_up_work() const;
  Work lease_work() const;
  Work select_work() const;
  Work release_work() const;
  Work bind_work() const;
  Work demote_work() const;
  Work use_work() const;
  Work all_work() const;

  // Keeps tables and lists of slots as they are now, and brings back what was kept.
  void keep() { backend_.copy(stream_, kept_, memory_, memory_bytes_); }
  void restore() { backend_.copy(stream_, memory_, kept_, memory_bytes_); }

  Bench& bench() { return bench_; }

 private:
  enum Home { kOnDevice, kInHost, kUntouchedYet, kOnDiskOnly, kHomes };

  void make_tables();
  // Frees all slots of a tier in random order.
  void shuffle_free_slots(const kernels::SlotTable& table);
  std::vector<std::vector<kernels::RowId>> place_rows();
  void fill_device(std::vector<kernels::RowId> rows);
  void fill_host(std::vector<kernels::RowId> rows);
  void place_on_disk(const std::vector<kernels::RowId>& rows);
  void make_lookups();
  void make_lists();
  void try_all();

  Bench bench_;
  kernels::Backend& backend_ = bench_.backend();
  kernels::Stream& stream_ = bench_.stream();
  std::mt19937 random_{1};
  std::int64_t distinct_ = shrunk(std::int64_t{1} << 22, 64);
  std::uint32_t rows_ = static_cast<std::uint32_t>(distinct_) * 16;
  std::vector<std::uint8_t> homes_;   // [rows]
  std::int64_t counts_[kHomes] = {};  // of the step's rows
  std::int64_t missing_ = 0;
  std::byte *memory_, *kept_;
  std::size_t memory_bytes_ = 0;
  kernels::SlotTable device_, host_;
  kernels::GroupedLookups grouped_;
  kernels::LookupSlotsArgs lookup_;
  kernels::SelectVictimsArgs victims_;
  kernels::BindMissingArgs bind_;
  kernels::DemoteVictimsArgs demote_;
};

}  // namespace mneme::gpu_benchmark
