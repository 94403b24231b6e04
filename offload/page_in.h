// Rows moving to the device: from host records, from the disk through staging, or generated.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <unordered_set>

#include "offload/tiers.h"
#include "offload/write_back.h"

namespace mneme::offload {

class PageIn {
 public:
  PageIn(Tiers& tiers, WriteBack& write_back, const kernels::RowInit& init)
      : tiers_(tiers), write_back_(write_back), init_(init), lists_(tiers.backend) {}

  // Brings rows (ascending) into slots of the device arena, which are bound to them already, and
  // moves them there in the residency.
  void move(std::span<const kernels::RowId> rows, const kernels::SlotId* slots);
  // Brings copies of rows into slots of another arena; nothing else changes.
  void copy(std::span<const kernels::RowId> rows, const kernels::SlotId* slots,
            const kernels::RowArena& arena);

  // Queues reads of rows that are on disk only into the host tier, and returns. They may take up to
  // half of it, from the rows that are worth least there.
  void prefetch(std::span<const kernels::RowId> rows, std::uint64_t byte_budget);
  // Stores what has arrived, queues what is waiting.
  void advance_prefetch();
  // Waits for every prefetch read on its way and forgets what is queued.
  void finish_prefetch();

 private:
  struct Request {
    std::span<const kernels::RowId> rows;
    const kernels::SlotId* slots;
    const kernels::RowArena* arena;
    bool moving;
  };
  void run(const Request& request);
  void from_host(const Request& request);
  void generate(const Request& request);
  void from_disk(const Request& request);
  void unpack(const Request& request, std::int64_t count, bool dirty);
  void store_prefetched(const FinishedRead& read);

  Tiers& tiers_;
  WriteBack& write_back_;
  kernels::RowInit init_;
  TransferLists lists_;
  std::vector<std::uint32_t> host_;  // indices into a request's rows, by where the row is
  std::vector<std::uint32_t> disk_;
  std::vector<std::uint32_t> untouched_;
  std::deque<kernels::RowId> prefetch_queue_;
  std::unordered_set<kernels::RowId> prefetching_;  // bounded by the read buffers
};

}  // namespace mneme::offload
