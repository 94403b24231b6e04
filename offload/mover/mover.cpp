#include "offload/mover/mover.h"

#include <algorithm>

#include "io/round_up.h"

namespace mneme::offload {

std::uint64_t Mover::host_slot_bytes(const kernels::RecordLayout& layout) {
  return io::round_up(layout.record_bytes(), 64);
}

// Transfers of 32 MiB are long enough for the bus and short enough to start the other direction
// soon.
std::int64_t Mover::transfer_rows(const kernels::RecordLayout& layout) {
  constexpr std::size_t kTransferBytes = std::size_t{32} << 20;
  return static_cast<std::int64_t>(
      std::clamp<std::size_t>(kTransferBytes / layout.record_bytes(), 64, 16384));
}

Mover::Mover(kernels::Backend& backend, const MoverOptions& options)
    : backend_(backend),
      init_(options.init),
      record_bytes_(options.layout.record_bytes()),
      rows_(backend, options.layout, options.device_slots),
      evaluation_rows_(backend, options.layout, options.evaluation_slots),
      host_(backend, options.host_slots, static_cast<std::size_t>(host_slot_bytes(options.layout))),
      transfers_(backend, {.transfer_rows = transfer_rows(options.layout),
                           .record_bytes = record_bytes_,
                           .link_bytes_per_second = options.host_link_bytes_per_second}) {}

Mover::~Mover() {
  try {
    synchronize();
  } catch (const std::exception&) {
    // A failed transfer was or will be reported by the call that needs it.
  }
}

void Mover::generate(const kernels::RowArena& target, const kernels::RowId* rows,
                     const kernels::SlotId* slots, std::int64_t count) {
  backend_.generate_rows(page_in(), target, rows, slots, count, init_);
}

void Mover::copy_resident(kernels::Stream& stream, const kernels::SlotId* slots,
                          std::int64_t count) {
  backend_.copy_rows(stream, arena(), slots, evaluation_arena(), nullptr, count);
}

void Mover::unpack_staging(const kernels::RowArena& target, const kernels::HostRecords& staging,
                           const kernels::SlotId* buffers, const kernels::SlotId* slots,
                           std::int64_t count) {
  transfers_.unpack(target, staging, buffers, slots, count);
}

void Mover::pack_to_staging(const kernels::HostRecords& staging, const kernels::SlotId* buffers,
                            const kernels::SlotId* slots, std::int64_t count) {
  transfers_.pack(arena(), staging, buffers, slots, count);
}

}  // namespace mneme::offload
