// References one by one: what a cache of any number of rows would have missed, without leases,
// tiers or moves. Two simulators that know nothing of each other or of the planner: stack distances
// give LRU at all sizes in one pass (all references, or a sample of the rows), and next uses give
// Belady's bound.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/key_ops.h"

namespace mneme::offload {

// Misses of LRU by the size of the cache.
class MissCurve {
 public:
  MissCurve() = default;
  // hits[d]: references whose row was the d-th most recently used one, d from 1; [0] is unused.
  MissCurve(std::vector<double> hits, double references);

  double references() const { return references_; }
  // Of a cache of `rows` rows; at most 1.
  double miss_ratio(std::uint64_t rows) const;
  // The largest size that still has fewer misses than the one below.
  std::uint64_t largest() const { return hits_.empty() ? 0 : hits_.size() - 1; }

 private:
  std::vector<double> hits_;  // at sizes up to the index, summed up
  double references_ = 0;
};

// Stack distances: the number of different rows since a row was used last, itself included.
class StackDistances {
 public:
  // table_rows: rows are below it. sample: the share of the rows that is looked at, by a hash of
  // the row (SHARDS, Waldspurger et al., FAST 2015); distances and counts are scaled by it.
  explicit StackDistances(std::uint64_t table_rows, double sample = 1);

  void add(std::span<const kernels::RowId> rows);
  MissCurve curve() const;
  // By distance, from 1: references at it, of the rows that were looked at. A first use has none.
  std::span<const std::uint64_t> counts() const { return counts_; }

 private:
  void add(kernels::RowId row);
  void renumber();
  void mark(std::uint32_t time, std::int32_t change);
  std::uint32_t marked_up_to(std::uint32_t time) const;

  double sample_;
  std::uint64_t threshold_;              // of the hash
  std::vector<std::uint32_t> last_;      // by row: when it was used last, 0 for never
  std::vector<std::uint32_t> tree_;      // Fenwick: times that are the last use of a row
  std::vector<kernels::RowId> used_at_;  // by time
  std::uint32_t now_ = 0, distinct_ = 0;
  std::vector<std::uint64_t> counts_;  // by distance
  std::uint64_t references_ = 0, all_references_ = 0;
};

// Belady: of the rows in the cache the one goes that is used again last. Every row that is missed
// comes in.
std::uint64_t belady_misses(std::span<const kernels::RowId> references, std::uint64_t rows);

}  // namespace mneme::offload
