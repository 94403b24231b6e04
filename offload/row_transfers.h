// Rows on their way between the device tier and host memory: page-in and write-back, each on a
// stream of its own, so that both directions of the bus are busy at once, beside compute.
//
// What moves is planned by the plan stream and ordered here by events alone: a device slot is
// filled once its victim's record has left, a host slot is overwritten once its record has been
// read.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace mneme::offload {

// The lists of one exchange, as the plan's operations fill them. Device memory.
struct ExchangeLists {
  kernels::SlotId* arriving_from = nullptr;  // host slots
  kernels::SlotId* arriving_to = nullptr;    // device slots
  kernels::SlotId* leaving_from = nullptr;   // device slots; kNoSlot where nothing leaves
  kernels::SlotId* leaving_to = nullptr;     // host slots
};

// Rows change places: `leaving` device rows go to host slots, `arriving` host rows to device slots.
struct Exchange {
  ExchangeLists lists;
  std::int64_t arriving = 0, leaving = 0;
  // Slots that were free before: entry i of arriving_to needs that entry i - free_device of
  // leaving_from has left, entry i of leaving_to that entry i - free_host of arriving_from has been
  // read. At least one of them is not 0 where both directions move.
  std::int64_t free_device = 0, free_host = 0;
};

class RowTransfers {
 public:
  // chunk_rows: the most rows of one transfer, which the other direction can then build on.
  RowTransfers(kernels::Backend& backend, std::int64_t chunk_rows);

  std::int64_t chunk_rows() const { return chunk_rows_; }
  kernels::Stream& page_in() { return *in_; }
  kernels::Stream& write_back() { return *out_; }

  // Transfers queued from now on come after what `plan` holds now, and after everything queued here
  // before, in both directions.
  void follow(kernels::Stream& plan);
  // Work that `plan` gets from now on comes after every page-in queued here.
  void arrive_before(kernels::Stream& plan);
  // Queues an exchange.
  void exchange(const kernels::RowArena& arena, const kernels::HostRecords& records,
                const Exchange& exchange);
  // What page_in() gets from now on comes after all write-back queued so far.
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
