// Transfers of records between the device tier and host memory. Page-in and write-back have a
// stream each, so that both directions of the bus are used at once, while the caller's stream
// computes.
//
// Which records move is the plan's decision. Here events put the transfers in an order in which no
// record is lost: a device slot is filled only after its victim's record was copied out, a host
// slot is overwritten only after its record was read. There is no buffer in between.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace mneme::offload {

// The lists of one exchange, filled by the operations of the plan. Device memory.
struct ExchangeLists {
  kernels::SlotId* arriving_from = nullptr;  // host slots
  kernels::SlotId* arriving_to = nullptr;    // device slots
  kernels::SlotId* leaving_from = nullptr;   // device slots; kNoSlot where nothing leaves
  kernels::SlotId* leaving_to = nullptr;     // host slots
};

// Rows that change tiers: `leaving` rows go from device slots to host slots, `arriving` rows from
// host slots to device slots, where either may use slots that the other frees.
struct Exchange {
  ExchangeLists lists;
  std::int64_t arriving = 0, leaving = 0;
  // Slots that were free before the exchange. So arriving row i has to wait for leaving row
  // i - free_device, and leaving row i for arriving row i - free_host, where there is such a row.
  // REQUIRES: one of the two is not 0 where both directions move.
  std::int64_t free_device = 0, free_host = 0;
};

class RowTransfers {
 public:
  // chunk_rows: the most rows of one transfer; the other direction waits for whole chunks.
  RowTransfers(kernels::Backend& backend, std::int64_t chunk_rows);

  std::int64_t chunk_rows() const { return chunk_rows_; }
  kernels::Stream& page_in() { return *in_; }
  kernels::Stream& write_back() { return *out_; }

  // Transfers queued after this call run after everything queued so far: on `plan`, and on both
  // streams here.
  void follow(kernels::Stream& plan);
  // Work queued on `plan` after this call runs after every page-in queued so far.
  void arrive_before(kernels::Stream& plan);
  // Queues an exchange.
  void exchange(const kernels::RowArena& arena, const kernels::HostRecords& records,
                const Exchange& exchange);
  // Work queued on page_in() after this call runs after every write-back queued so far.
  void fill_after_write_back();
  // Blocks the caller until everything queued has run.
  void synchronize();

 private:
  // The end of one chunk of a direction.
  struct Chunk {
    std::int64_t end = 0;
    std::unique_ptr<kernels::Event> event;
  };
  class Direction;

  kernels::Backend& backend_;
  std::int64_t chunk_rows_;
  std::unique_ptr<kernels::Stream> in_, out_;
  std::unique_ptr<kernels::Event> planned_, in_end_, out_end_;
  std::vector<Chunk> arrivals_, departures_;  // of the last exchange; events are used again
};

}  // namespace mneme::offload
