// What a trace of a store holds: what the store was asked for, in order. A list of rows that was
// asked for before (forward, backward and update of a layer read the same rows) is written once.
//
// A pass whose rows no lease holds at once, since the device tier is small, is one lease here, with
// all its rows, and then its parts one by one: so that a replay can cut it as its own tiers would
// have it cut.
//
// As bytes (docs/formats.md, "Trace file"): a byte of kind, then numbers of seven bits a byte,
// least first, the eighth bit saying that more follow; then the list, where the kind has one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "io/enum_names.h"
#include "kernels/residency_ops.h"
#include "offload/ledger/books.h"

namespace mneme::offload {

enum class TraceKind : std::uint8_t {
  kStart = 1,   // a process begins to work with the table
  kStep,        // begin_step
  kLease,       // acquire
  kMarkDirty,   // of a lease
  kEndLease,    //
  kHint,        //
  kCheckpoint,  // begin_checkpoint
  kCommit,      // commit_checkpoint
  kRelease,     // release_checkpoint
  kTokens,      // of a micro-batch of the running step
  kSave,        // rows of the checkpoint under way are taken, that no lease asks for
  kDiskSlot,    // it is known from now on how large a slot of the rows files is
  kEndStep,     // end_step
  kPredictors,  // that hints come from, from now on
  kLookups,     // of a micro-batch in a layer: the rows that each token has read
  kPart,        // of a lease that is taken in parts: the next of them, at whose end the one before
                // goes
};
constexpr auto enum_names(TraceKind) {
  return std::to_array<io::EnumName<TraceKind>>({{"start", TraceKind::kStart},
                                                 {"step", TraceKind::kStep},
                                                 {"lease", TraceKind::kLease},
                                                 {"mark-dirty", TraceKind::kMarkDirty},
                                                 {"end-lease", TraceKind::kEndLease},
                                                 {"hint", TraceKind::kHint},
                                                 {"checkpoint", TraceKind::kCheckpoint},
                                                 {"commit", TraceKind::kCommit},
                                                 {"release", TraceKind::kRelease},
                                                 {"tokens", TraceKind::kTokens},
                                                 {"save", TraceKind::kSave},
                                                 {"disk-slot", TraceKind::kDiskSlot},
                                                 {"end-step", TraceKind::kEndStep},
                                                 {"predictors", TraceKind::kPredictors},
                                                 {"lookups", TraceKind::kLookups},
                                                 {"part", TraceKind::kPart}});
}

// The tiers of a process. Sizes in slots, speeds in bytes a second (0: not emulated).
struct TraceTiers {
  std::uint64_t device_slots = 0, evaluation_slots = 0, host_slots = 0;
  std::uint64_t record_bytes = 0;  // in memory
  // What a slot takes of a tier's budget, and the millionths of the device's that are set aside for
  // read-only leases.
  std::uint64_t device_slot_bytes = 0, host_slot_bytes = 0, evaluation_millionths = 0;
  std::uint64_t disks = 0;          // rows files; 0: no row can go to disk
  std::uint64_t disk_bytes = 0;     // limit of the rows files; 0 for none
  std::uint64_t transfer_rows = 0;  // of one transfer
  std::uint64_t host_link = 0, disk_link = 0;
  kernels::ReplacementKind device_policy = kernels::ReplacementKind::kLru;
  kernels::ReplacementKind host_policy = kernels::ReplacementKind::kLru;
  bool operator==(const TraceTiers&) const = default;
};

struct TraceEvent {
  TraceKind kind = TraceKind::kStep;
  // Of kStart and kCheckpoint: the steps that were complete; kStep: the step; kLease, kPart,
  // kMarkDirty, kEndLease: the lease, counted from 1 since kStart; kCommit, kRelease: the epoch;
  // kTokens: the micro-batch; kHint: the most bytes of records; kSave: the most rows; kDiskSlot:
  // bytes; kEndStep: 0; kPredictors: a bit for each, 1 << memory::PredictorKind; kLookups: the
  // micro-batch.
  std::uint64_t number = 0;
  Account account = {};        // kLease, kHint, kLookups
  bool read_only = false;      // kLease
  bool moves_records = false;  // kLease: records are copied in, or out where it is read-only
  // kLease: in parts, where it is too large, it is taken from the first to the last also in a
  // backward pass.
  bool ascending = false;
  // kLease: its rows become dirty; in parts, those of each part while it is leased.
  bool changes_rows = false;
  // kLease: the rows of each of its parts but the last in the list, which kPart events take; 0: it
  // is taken at once.
  std::uint64_t part_rows = 0;
  bool to_device = false;        // kHint: else to the host tier
  bool of_running_step = false;  // kHint: else of the next one
  // kLookups: of the layer, for each token; and tokens of a sequence.
  std::uint64_t lookups_per_token = 0, sequence = 0;
  // kStart: whether the rows were where this trace's checkpoint after `number` steps had left them,
  // all on disk. Else those on disk are the list.
  bool continues = false;
  TraceTiers tiers = {};                 // kStart
  std::vector<std::uint32_t> list = {};  // kStart, kLease: rows, ascending; kHint: rows; kTokens:
                                         // tokens; kLookups: rows, [tokens, lookups_per_token]
  bool operator==(const TraceEvent&) const = default;
};

// Lists that were written or read lately, the newest first.
class TraceLists {
 public:
  static constexpr std::size_t kKept = 8;
  static constexpr std::size_t kFewest = 8;  // shorter lists are not kept
  // Its place, or kKept.
  std::size_t find(std::span<const std::uint32_t> list) const;
  const std::vector<std::uint32_t>& at(std::size_t place) const { return lists_[place]; }
  std::size_t size() const { return lists_.size(); }
  void add(std::span<const std::uint32_t> list);
  void clear() { lists_.clear(); }

 private:
  std::deque<std::vector<std::uint32_t>> lists_;
};

// Appends an event to `out`.
void encode(const TraceEvent& event, TraceLists& lists, std::vector<std::byte>& out);
// Takes one event from the front of `bytes`. Throws Error saying what is wrong, for bytes that
// encode() does not write.
TraceEvent decode(std::span<const std::byte>& bytes, TraceLists& lists);
// The rows of part i, of those in the order in which they are taken, of a lease that is taken in
// parts of part_rows.
struct TracePart {
  std::size_t first = 0, count = 0;
};
std::size_t parts_of(const TraceEvent& lease, std::size_t part_rows);
TracePart part_of(const TraceEvent& lease, std::size_t part_rows, std::size_t i);

}  // namespace mneme::offload
