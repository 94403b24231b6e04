// The two memory tiers of a table in pinned memory, and calls of the step plan's operations that
// wait and hand back plain vectors.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "tests/kernels/pinned.h"

namespace mneme::testing {

// The first entries of a list.
template <typename T>
std::vector<T> first_of(const Pinned<T>& list, std::uint64_t count) {
  return {list.data(), list.data() + count};
}

// The arrays that a slot table may be without.
struct OptionalArrays {
  bool inserted = true;
  bool uses = false;
};

// A slot table of pinned arrays. All slots are free.
class TestTier {
 public:
  TestTier(kernels::Backend& backend, kernels::Location* locations, kernels::Place place,
           std::uint32_t slots, const OptionalArrays& arrays = {});

  const kernels::SlotTable& table() const { return table_; }
  // The free slots, the next one first.
  std::vector<kernels::SlotId> free_queue() const;

 private:
  Pinned<kernels::RowId> row_of_slot_;
  Pinned<std::uint32_t> last_used_, leased_, step_used_, inserted_;
  Pinned<kernels::SlotId> free_slots_;
  Pinned<float> frequency_, uses_;
  Pinned<std::uint8_t> state_, referenced_, occupied_;
  Pinned<kernels::SlotTableState> totals_;
  kernels::SlotTable table_;
};

class TestTiers {
 public:
  // host_slots 0: there is no host tier, and its table is empty.
  TestTiers(kernels::Backend& backend, std::uint32_t rows, std::uint32_t device_slots,
            std::uint32_t host_slots, const OptionalArrays& arrays = {});

  const kernels::SlotTable& device() const { return device_.table(); }
  const kernels::SlotTable& host() const { return host_table_; }
  const TestTier& device_tier() const { return device_; }
  const TestTier& host_tier() const { return host_; }
  const Pinned<kernels::Location>& locations() const { return locations_; }
  kernels::Backend& backend() { return backend_; }
  kernels::Stream& stream() { return *stream_; }

  struct Looked {
    std::vector<kernels::SlotId> slots;
    std::vector<std::uint32_t> missing;  // as long as the report says
    std::vector<kernels::RowId> disk_rows;
    kernels::LookupReport report;
    std::vector<kernels::RowId> hinted_rows = {};
  };
  Looked lookup(const std::vector<kernels::RowId>& rows, std::uint32_t host_lease = 0,
                bool use_hints = false);

  struct Bound {
    std::vector<kernels::SlotId> slots, from, to;
    std::vector<kernels::RowId> rows;
  };
  // The rows rows[missing[i]], with the slots that a lookup gave. Takes what is no list from args.
  Bound bind(const std::vector<kernels::RowId>& rows, const std::vector<kernels::SlotId>& slots,
             const std::vector<std::uint32_t>& missing, kernels::BindMissingArgs args);
  // Looks the rows up and binds those that are missing. The slots of all, in the end.
  std::vector<kernels::SlotId> bring(const std::vector<kernels::RowId>& rows,
                                     std::uint32_t use_counter, std::uint32_t step = 0);

  void mark(const kernels::SlotTable& table, const std::vector<kernels::SlotId>& slots,
            kernels::MarkUsedArgs args);
  void mark_unsaved(const kernels::SlotTable& table);
  // Where those of the rows are that were unsaved, in their order.
  std::vector<kernels::Location> take_unsaved(const std::vector<kernels::RowId>& rows);

  struct Victims {
    std::vector<kernels::SlotId> slots;
    std::vector<kernels::RowId> rows;
    std::vector<std::uint8_t> state;
    std::vector<std::uint32_t> last_used, step_used;
    std::vector<float> frequency;
    std::vector<float> uses = {};  // where the tables keep them
  };
  // hand: where it stands, and then where it stops.
  Victims select(const kernels::SlotTable& table, kernels::SelectVictimsArgs args,
                 std::uint32_t* hand = nullptr);
  struct Demoted {
    std::vector<kernels::SlotId> from, to;
    std::uint64_t moved = 0;
  };
  // The lists are `padding` longer than the victims.
  Demoted demote(const Victims& victims, std::uint32_t use_counter, std::int64_t padding = 0);
  // most: how long the list may be; by default as long as it is.
  void release(const kernels::SlotTable& table, const std::vector<kernels::SlotId>& slots,
               std::int64_t most = -1);
  std::vector<kernels::SlotId> take(const kernels::SlotTable& table, std::int64_t most);
  void publish(const std::vector<kernels::RowId>& rows, const std::vector<kernels::SlotId>& slots,
               std::uint32_t use_counter, std::uint32_t step_used);
  std::vector<kernels::Location> locate(const std::vector<kernels::RowId>& rows);
  void place_on_disk(const std::vector<kernels::RowId>& rows);
  std::vector<std::pair<kernels::SlotId, kernels::RowId>> dirty(const kernels::SlotTable& table);
  std::uint64_t count_spare(const kernels::SlotTable& table, std::uint32_t step,
                            std::uint32_t first_live_lease);

 private:
  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  Pinned<kernels::Location> locations_;
  TestTier device_, host_;
  kernels::SlotTable host_table_;
};

}  // namespace mneme::testing
