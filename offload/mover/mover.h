// The mover: owns the memory that rows lie in on the device and in the host tier, and copies
// records between them, and to and from the staging buffers of a disk. It carries out the moves of
// a plan on two streams of its own, one for each direction, so that both directions of the bus are
// used at once while the caller computes.
//
// It must never know which row lies where or why it moves: it is given lists of slots. It knows
// nothing of files.
//
//   plan's stream    page-in                            write-back
//   -------------    --------------------------------   ----------------------------------
//   plan a round
//                    follow(): wait for the plan        follow(): wait for the plan
//                    exchange(): host -> device slots   exchange(): device -> host slots
//                      (each waits, transfer by transfer, for the slots that the other empties)
//                    fill_after_write_back()
//                    generate(), unpack_staging()       pack_to_staging()
//   arrive_before(): waits for page-in
//
// Links may be emulated (io/emulated_link.h): each direction of the host link is a queue with a
// clock, and a transfer holds its stream until it would be through. Who does not need the rows does
// not wait.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "offload/mover/device_rows.h"
#include "offload/mover/host_arena.h"
#include "offload/mover/row_transfers.h"

namespace mneme::offload {

struct MoverOptions {
  kernels::RecordLayout layout;
  std::uint32_t device_slots = 0;
  std::uint32_t evaluation_slots = 0;  // a second arena on the device, for read-only leases
  std::uint32_t host_slots = 0;
  kernels::RowInit init;  // of generated rows
  // Of each direction of the host link; 0: not emulated.
  double host_link_bytes_per_second = 0;
};

class Mover {
 public:
  // Device memory of a slot; pinned host memory of a slot of the host tier.
  static std::uint64_t device_slot_bytes(const kernels::RecordLayout& layout) {
    return DeviceRows::bytes_per_slot(layout);
  }
  static std::uint64_t host_slot_bytes(const kernels::RecordLayout& layout);
  // The most rows of one transfer.
  static std::int64_t transfer_rows(const kernels::RecordLayout& layout);

  // The backend must outlive it. Throws Error for want of memory.
  Mover(kernels::Backend& backend, const MoverOptions& options);
  // Waits for what is queued.
  ~Mover();

  std::size_t record_bytes() const { return record_bytes_; }
  const kernels::RowArena& arena() const { return rows_.arena(); }
  const kernels::RowArena& evaluation_arena() const { return evaluation_rows_.arena(); }
  std::byte* host_record(kernels::SlotId slot) const { return host_.record(slot); }
  kernels::Stream& page_in() { return transfers_.page_in(); }
  kernels::Stream& write_back() { return transfers_.write_back(); }

  // ---- Order, as above. Transfers queued later run after everything queued so far, on `plan` and
  // on both streams.
  void follow(kernels::Stream& plan) { transfers_.follow(plan); }
  void fill_after_write_back() { transfers_.fill_after_write_back(); }
  void arrive_before(kernels::Stream& stream) { transfers_.arrive_before(stream); }
  void leave_before(kernels::Stream& stream) { transfers_.leave_before(stream); }
  // Blocks the caller until everything queued has run.
  void synchronize() { transfers_.synchronize(); }

  // ---- Moves. `target`: one of the two arenas.
  void exchange(const kernels::RowArena& target, const Exchange& exchange) {
    transfers_.exchange(target, host_.records(), exchange);
  }
  // Initial values. rows, slots: device, [count].
  void generate(const kernels::RowArena& target, const kernels::RowId* rows,
                const kernels::SlotId* slots, std::int64_t count);
  // Copies resident rows to the places 0, 1, ... of the evaluation arena, on `stream`. slots:
  // device, [count]; kNoSlot is skipped.
  void copy_resident(kernels::Stream& stream, const kernels::SlotId* slots, std::int64_t count);
  // Records from buffers to slots, and from slots of the device tier to buffers. buffers, slots:
  // pinned host or device, [count].
  void unpack_staging(const kernels::RowArena& target, const kernels::HostRecords& staging,
                      const kernels::SlotId* buffers, const kernels::SlotId* slots,
                      std::int64_t count);
  void pack_to_staging(const kernels::HostRecords& staging, const kernels::SlotId* buffers,
                       const kernels::SlotId* slots, std::int64_t count);

 private:
  kernels::Backend& backend_;
  kernels::RowInit init_;
  std::size_t record_bytes_;
  DeviceRows rows_, evaluation_rows_;
  HostArena host_;
  RowTransfers transfers_;
};

}  // namespace mneme::offload
