// How long a replay's steps would take on given links: what the rows of a lease wait for, beside
// computation of a given length. One clock for the caller's work, one for each direction of the
// host link and one for the disk link; nothing is waited for.
//
// What is modelled is the store's order (offload/lease.cpp). The rows of a forward pass come when
// the work before it is done, which finds them. Those of backward and update are known by then:
// they come beside the work behind the lease before, as all further parts of a lease do. Records
// from the disk go through the host link as they arrive, behind those that leave the device.
// A round's reads are asked for before its writes, which the next round's reads find in the disk's
// queue. Writes of checkpoints and hints wait behind both; who writes waits where staging buffers
// hold no more.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/key_ops.h"
#include "offload/moves.h"
#include "offload/replay/link_clock.h"

namespace mneme::offload {

struct ReplaySpeeds {
  // Bytes a second; 0: no time passes. The host link has it in each direction.
  double host_link = 0, disk_link = 0;
  // Of computation, spread evenly over the leases of a step: behind each, or behind its last part,
  // since the work on a part alone is short.
  double step_seconds = 0;
  // Bytes a second in records, in the order of what arrives on the device; 0: no time passes.
  double generate = 0;
  // Nothing that is read from the disk, or written to it, takes time there.
  bool free_reads = false, free_writes = false;
};

class ReplayClock {
 public:
  // rows: of the table. write_room: bytes of writes that wait at most.
  ReplayClock(const ReplaySpeeds& speeds, std::uint64_t rows, double write_room);

  void begin_step();

  // ---- A lease, in the order of the calls. starts_beside: beside the work behind the lease
  // before. takes_hinted: it needs what hints bring to the device.
  void begin_lease(bool starts_beside, bool takes_hinted);
  // Rows of hints that the lease takes; how many are still on their way.
  std::uint64_t take_hinted(const std::vector<kernels::RowId>& rows);
  // Bytes of a round.
  void leave(double bytes);  // device to host, to be written
  // Both ways, transfer by transfer, as rows wait for slots that others free.
  void exchange(const Exchange& exchange, double record_bytes, std::int64_t most_rows);
  void generate(double bytes);         // on the device
  void start_read(double disk_bytes);  // from the disk
  void arrive(double bytes);           // of these, on the device
  void write(double disk_bytes);       // to the disk
  void save(double disk_bytes);        // to the disk, for a checkpoint
  // What the lease waited for, in seconds.
  struct Waits {
    double host = 0, disk = 0, write_back = 0, hint = 0;
  };
  // Of each part of a lease that is taken in parts.
  Waits end_lease(bool is_last_part);

  // ---- A hint. To the device: begin_hint(), rounds, end_hint(). beside: the work of the running
  // step.
  void fetch(kernels::RowId row, double disk_bytes);
  void forget(kernels::RowId row);  // it lost its slot
  void begin_hint(bool beside);
  void end_hint();

  // Of all so far.
  double seconds() const { return now_ + step_left_; }
  double computed() const { return computed_ + step_left_; }

 private:
  void compute(double seconds);

  ReplaySpeeds speeds_;
  LinkClock in_, out_, disk_;
  double write_room_;
  double now_ = 0;         // of the caller's work
  double part_began_ = 0;  // the work on the last lease
  double step_left_ = 0;   // computation of the step that no lease had
  double computed_ = 0;
  std::uint64_t leases_ = 0, leases_before_ = 0;  // of this step, of the step before
  std::vector<std::uint64_t> fetches_;            // by row: its number on the disk link, or 0

  // The lease under way.
  double start_ = 0, left_ = 0, arrived_ = 0, disk_done_ = 0, room_done_ = 0, hints_done_ = 0;
  double hinted_to_device_ = 0;  // when what hints bring to the device is there
};

}  // namespace mneme::offload
