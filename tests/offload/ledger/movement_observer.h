// Counts what really moves, below the store: a backend and a disk that hand every call on, and look
// at the lists of each copy and at each transfer. They know nothing of the store's books.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "io/forwarding_disk.h"
#include "kernels/device_array.h"
#include "tests/support/forwarding_backend.h"

namespace mneme::offload::testing {

struct Seen {
  std::uint64_t rows = 0, bytes = 0;
  void add(std::uint64_t more_rows, std::uint64_t row_bytes) {
    rows += more_rows;
    bytes += more_rows * row_bytes;
  }
  bool operator==(const Seen&) const = default;
};

// By the distance of records in host memory it is known what they are.
struct Strides {
  std::size_t host_tier = 0, staging = 0, caller = 0;
};

struct Movements {
  Seen from_host_tier, from_staging, from_caller;  // into device memory
  Seen to_host_tier, to_staging, to_caller;
  Seen generated, copied;
  Seen disk_reads, disk_writes;
};

class ObservingBackend final : public mneme::testing::ForwardingBackend {
 public:
  ObservingBackend(kernels::Backend& inner, Movements& seen)
      : ForwardingBackend(inner), seen_(seen) {}

  void expect(const Strides& strides) { strides_ = strides; }

  void unpack_records(kernels::Stream& stream, const kernels::RowArena& arena,
                      const kernels::HostRecords& records, const kernels::SlotId* record_slots,
                      const kernels::SlotId* slots, std::int64_t count) override {
    inner_.unpack_records(stream, arena, records, record_slots, slots, count);
    Seen& seen = records.stride == strides_.host_tier ? seen_.from_host_tier
                 : records.stride == strides_.staging ? seen_.from_staging
                                                      : seen_.from_caller;
    seen.add(moved(stream, record_slots, slots, count), arena.layout.record_bytes());
  }
  void pack_records(kernels::Stream& stream, const kernels::RowArena& arena,
                    const kernels::HostRecords& records, const kernels::SlotId* record_slots,
                    const kernels::SlotId* slots, std::int64_t count) override {
    inner_.pack_records(stream, arena, records, record_slots, slots, count);
    Seen& seen = records.stride == strides_.host_tier ? seen_.to_host_tier
                 : records.stride == strides_.staging ? seen_.to_staging
                                                      : seen_.to_caller;
    seen.add(moved(stream, record_slots, slots, count), arena.layout.record_bytes());
  }
  void copy_rows(kernels::Stream& stream, const kernels::RowArena& source,
                 const kernels::SlotId* from, const kernels::RowArena& target,
                 const kernels::SlotId* to, std::int64_t count) override {
    inner_.copy_rows(stream, source, from, target, to, count);
    seen_.copied.add(moved(stream, nullptr, from, count), source.layout.record_bytes());
  }
  void generate_rows(kernels::Stream& stream, const kernels::RowArena& arena,
                     const kernels::RowId* rows, const kernels::SlotId* slots, std::int64_t count,
                     const kernels::RowInit& init) override {
    inner_.generate_rows(stream, arena, rows, slots, count, init);
    seen_.generated.add(moved(stream, nullptr, slots, count), arena.layout.record_bytes());
  }

  void lookup_slots(kernels::Stream& stream, const kernels::SlotTable& device,
                    const kernels::SlotTable& host, const kernels::LookupSlotsArgs& args) override {
    inner_.lookup_slots(stream, device, host, args);
    tables_ = {device, host};
  }
  // Rows of both tiers that a hint has brought and no lease has used. No work may be queued.
  std::uint64_t hinted_rows(kernels::Stream& stream) {
    std::uint64_t rows = 0;
    for (const kernels::SlotTable& table : tables_) {
      const std::vector<std::uint8_t> state = read(stream, table.state, table.slots);
      const std::vector<std::uint8_t> occupied = read(stream, table.occupied, table.slots);
      for (std::size_t slot = 0; slot < state.size(); ++slot) {
        const bool hinted = occupied[slot] != 0 && (state[slot] & kernels::kPrefetched) != 0;
        rows += hinted ? 1 : 0;
      }
    }
    return rows;
  }

 private:
  // Entries that name a slot in every list that is there; waits for the stream.
  std::uint64_t moved(kernels::Stream& stream, const kernels::SlotId* first,
                      const kernels::SlotId* second, std::int64_t count) {
    const std::vector<kernels::SlotId> one = read(stream, first, count);
    const std::vector<kernels::SlotId> two = read(stream, second, count);
    std::uint64_t moved = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      const bool skipped = (!one.empty() && one[i] == kernels::kNoSlot) ||
                           (!two.empty() && two[i] == kernels::kNoSlot);
      moved += skipped ? 0 : 1;
    }
    return moved;
  }
  template <typename T>
  std::vector<T> read(kernels::Stream& stream, const T* list, std::int64_t count) {
    if (list == nullptr || count == 0) return {};
    const auto copy = kernels::pinned_array<T>(inner_, count);
    inner_.copy(stream, copy.data(), list, kernels::DeviceArray<T>::bytes(count));
    stream.synchronize();
    return {copy.data(), copy.data() + count};
  }

  Movements& seen_;
  Strides strides_;
  std::array<kernels::SlotTable, 2> tables_;  // of the last look-up: device, host
};

// Of records that take one block each.
class ObservingDisk final : public io::ForwardingDisk {
 public:
  ObservingDisk(io::Disk& inner, Movements& seen) : ForwardingDisk(inner), seen_(seen) {}

  std::unique_ptr<io::BlockFile> open(const std::string& path,
                                      const io::OpenOptions& options) override {
    return std::make_unique<File>(inner_.open(path, options), seen_);
  }

 private:
  static constexpr std::uint64_t kSlotBytes = 512;

  class File final : public io::ForwardingFile {
   public:
    File(std::unique_ptr<io::BlockFile> inner, Movements& seen)
        : ForwardingFile(std::move(inner)), seen_(seen) {}
    bool submit(const io::BlockRequest& request) override {
      const io::BlockRequest asked = request;
      if (!inner_->submit(request)) return false;
      // The file's header is no record.
      if (asked.offset > 0) {
        (asked.operation == io::BlockOperation::kRead ? seen_.disk_reads : seen_.disk_writes)
            .add(asked.bytes / kSlotBytes, kSlotBytes);
      }
      return true;
    }

   private:
    Movements& seen_;
  };

  Movements& seen_;
};

}  // namespace mneme::offload::testing
