// Where a row is, in one word of 32 bits, and where records lie in pinned host memory. Written once
// for CPU and GPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/key_ops.h"
#include "kernels/scalar.h"

namespace mneme::kernels {

// The tiers of a row. Exclusive: a row is in one of them. A row on the device or in the host tier
// may also have a copy on disk (kOnDisk).
enum class Place : std::uint8_t { kUntouched, kDevice, kHost, kDisk };

// Place in the upper two bits. Below: the slot of that tier (kDevice, kHost); what is known of the
// uses of a row on disk (use_history.h), 0 for nothing. A row that nothing has touched is 0, so
// that zeroed memory is a table of untouched rows.
using Location = std::uint32_t;
inline constexpr int kLocationSlotBits = 30;

MNEME_HOST_DEVICE constexpr Location location_of(Place place, SlotId slot = 0) {
  return static_cast<Location>(place) << kLocationSlotBits | slot;
}
MNEME_HOST_DEVICE constexpr Place place_of(Location location) {
  return static_cast<Place>(location >> kLocationSlotBits);
}
MNEME_HOST_DEVICE constexpr SlotId slot_of(Location location) {
  return location & ((Location{1} << kLocationSlotBits) - 1);
}

// Records in pinned host memory, by slot: pieces of 2^piece_shift records, `stride` bytes apart.
struct HostRecords {
  static constexpr int kMostPieces = 64;
  std::byte* pieces[kMostPieces] = {};
  int piece_shift = 31;  // one piece holds them all
  std::size_t stride = 0;

  // Records one behind the other from `first` on.
  static HostRecords in_one_piece(std::byte* first, std::size_t stride) {
    HostRecords records;
    records.pieces[0] = first;
    records.stride = stride;
    return records;
  }

  MNEME_HOST_DEVICE std::byte* record(SlotId slot) const {
    const SlotId within = slot & ((SlotId{1} << piece_shift) - 1);
    return pieces[slot >> piece_shift] + std::size_t{within} * stride;
  }
};

}  // namespace mneme::kernels
