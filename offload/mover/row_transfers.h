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
#include "offload/mover/link_pacer.h"
#include "offload/moves.h"

namespace mneme::offload {

struct RowTransferOptions {
  // The most rows of one transfer; the other direction waits for whole transfers.
  std::int64_t transfer_rows = 1;
  std::size_t record_bytes = 0;
  // Of each direction of an emulated link; 0: it is not emulated.
  double link_bytes_per_second = 0;
};

class RowTransfers {
 public:
  // Rows of one transfer, of an exchange of so many; most: as RowTransferOptions::transfer_rows.
  static std::int64_t rows_of_a_transfer(std::int64_t rows, std::size_t record_bytes,
                                         std::int64_t most);

  RowTransfers(kernels::Backend& backend, const RowTransferOptions& options);

  kernels::Stream& page_in() { return *in_; }
  kernels::Stream& write_back() { return *out_; }

  // Transfers queued after this call run after everything queued so far: on `plan`, and on both
  // streams here.
  void follow(kernels::Stream& plan);
  // Work queued on `plan` after this call runs after every page-in queued so far.
  void arrive_before(kernels::Stream& plan);
  // The same of every write-back.
  void leave_before(kernels::Stream& plan);
  // Queues an exchange.
  void exchange(const kernels::RowArena& arena, const kernels::HostRecords& records,
                const Exchange& exchange);
  // Queue records from host memory to slots, on page_in(), and back, on write_back(), as the
  // backend's operations of these names.
  void unpack(const kernels::RowArena& arena, const kernels::HostRecords& records,
              const kernels::SlotId* record_slots, const kernels::SlotId* slots,
              std::int64_t count);
  void pack(const kernels::RowArena& arena, const kernels::HostRecords& records,
            const kernels::SlotId* record_slots, const kernels::SlotId* slots, std::int64_t count);
  // Work queued on page_in() after this call runs after every write-back queued so far.
  void fill_after_write_back();
  // Blocks the caller until everything queued has run.
  void synchronize();

 private:
  // One transfer of a direction: the entry behind its last.
  struct Transfer {
    std::int64_t end = 0;
    std::unique_ptr<kernels::Event> event;
  };
  class Direction;

  void queue_leaving(const kernels::RowArena& arena, const kernels::HostRecords& records,
                     const Exchange& exchange, std::int64_t first, std::int64_t count);

  kernels::Backend& backend_;
  RowTransferOptions options_;
  LinkPacer in_pacer_, out_pacer_;  // the streams' queued work uses them
  std::unique_ptr<kernels::Stream> in_, out_;
  std::unique_ptr<kernels::Event> planned_, in_end_, out_end_;
  std::vector<Transfer> arrivals_, departures_;  // of the last exchange; events are used again
};

}  // namespace mneme::offload
