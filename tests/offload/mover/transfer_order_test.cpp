// Transfers between the tiers wait for each other and for the plan exactly where they have to:
// exchanges of very few rows a transfer, queued without ever waiting, leave every record where a
// simulation of one after the other leaves it. A wait that is missing shows on a GPU, or on the
// emulated one, whose streams overtake each other.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "io/check.h"
#include "offload/mover/row_transfers.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::MemoryKind;
using kernels::SlotId;

constexpr std::uint32_t kDeviceSlots = 11, kHostSlots = 9;
constexpr std::int64_t kTransferRows = 2;
constexpr std::size_t kListLength = kDeviceSlots;
// Without waiting, and then again: the emulated device runs what is queued in another order.
constexpr int kExchanges = 8, kRepetitions = 20;
constexpr std::size_t kLists = 64, kListBytes = kLists * kListLength * sizeof(SlotId);

// What is where: the mark of each record, 0 where a slot is free.
struct Marks {
  std::vector<std::uint32_t> device = std::vector<std::uint32_t>(kDeviceSlots);
  std::vector<std::uint32_t> host = std::vector<std::uint32_t>(kHostSlots);
};

class TransferOrderTest : public ::testing::Test {
 protected:
  TransferOrderTest() : transfers_(backend_, {.transfer_rows = kTransferRows}) {
    arena_.layout =
        kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(2), .moments = false});
    values_ = backend_.allocate(kDeviceSlots * arena_.layout.value_bytes(), MemoryKind::kDevice);
    last_step_ = backend_.allocate(kDeviceSlots * sizeof(std::uint32_t), MemoryKind::kDevice);
    arena_.parts[0].values = values_.as<void>();
    arena_.last_step = last_step_.as<std::uint32_t>();
    host_ = make_records(host_memory_, kHostSlots);
    scratch_ = make_records(scratch_memory_, kDeviceSlots);
    list_memory_ = backend_.allocate(kListBytes, MemoryKind::kDevice);
    list_sources_ = backend_.allocate(kListBytes, MemoryKind::kPinnedHost);
    fill();
  }
  ~TransferOrderTest() override {
    // Buffers go in any order.
    plan_->synchronize();
    transfers_.synchronize();
  }

  kernels::HostRecords make_records(kernels::Buffer& memory, std::size_t count) {
    const std::size_t bytes = arena_.layout.record_bytes();
    memory = backend_.allocate(count * bytes, MemoryKind::kPinnedHost);
    std::memset(memory.as<std::byte>(), 0, count * bytes);
    const kernels::HostRecords records =
        kernels::HostRecords::in_one_piece(memory.as<std::byte>(), bytes);
    return records;
  }
  void mark(std::byte* record, std::uint32_t mark) const {
    const float values[2] = {static_cast<float>(mark), -static_cast<float>(mark)};
    std::memcpy(record, &mark, sizeof mark);
    std::memcpy(record + arena_.layout.value_offset(), values, sizeof values);
  }
  std::uint32_t mark_of(const std::byte* record) const {
    std::uint32_t mark = 0;
    float values[2];
    std::memcpy(&mark, record, sizeof mark);
    std::memcpy(values, record + arena_.layout.value_offset(), sizeof values);
    const auto value = static_cast<float>(mark);
    return values[0] == value && values[1] == -value ? mark : ~std::uint32_t{0};
  }

  // Full tiers but for two slots of each.
  void fill() {
    for (std::uint32_t i = 0; i < kDeviceSlots; ++i) {
      if (i < 2) free_device_.push_back(i);
      marks_.device[i] = i < 2 ? 0 : next_mark_++;
      mark(scratch_.record(i), marks_.device[i]);
    }
    for (std::uint32_t i = 0; i < kHostSlots; ++i) {
      if (i < 2) free_host_.push_back(i);
      marks_.host[i] = i < 2 ? 0 : next_mark_++;
      mark(host_.record(i), marks_.host[i]);
    }
    backend_.unpack_records(*plan_, arena_, scratch_, nullptr, slot_numbers(), kDeviceSlots);
    plan_->synchronize();
  }

  // 0, 1, 2, ...
  const SlotId* slot_numbers() {
    std::vector<SlotId> numbers(kDeviceSlots);
    for (SlotId i = 0; i < kDeviceSlots; ++i) numbers[i] = i;
    return list(numbers);
  }
  // The list in device memory, as soon as the plan has run.
  SlotId* list(const std::vector<SlotId>& slots) {
    CHECK(lists_ < kLists);
    SlotId* source = list_sources_.as<SlotId>() + lists_ * kListLength;
    SlotId* target = list_memory_.as<SlotId>() + lists_ * kListLength;
    ++lists_;
    std::copy(slots.begin(), slots.end(), source);
    backend_.copy(*plan_, target, source, kListLength * sizeof(SlotId));
    return target;
  }
  // Up to `most` occupied slots in random order.
  std::vector<SlotId> pick(const std::vector<std::uint32_t>& marks, std::size_t most) {
    std::vector<SlotId> slots;
    for (SlotId i = 0; i < marks.size(); ++i) {
      if (marks[i] != 0) slots.push_back(i);
    }
    std::shuffle(slots.begin(), slots.end(), random_);
    slots.resize(std::min(most, slots.size()));
    return slots;
  }
  // The first of `free` and then of `freed` for each of `count`; what is left is free afterwards.
  static std::vector<SlotId> hand_out(std::deque<SlotId>& free, const std::vector<SlotId>& freed,
                                      std::size_t count) {
    free.insert(free.end(), freed.begin(), freed.end());
    const auto end = free.begin() + static_cast<std::ptrdiff_t>(count);
    std::vector<SlotId> slots(free.begin(), end);
    free.erase(free.begin(), end);
    return slots;
  }

  // Queues a random exchange, and does it to the marks at once.
  std::vector<SlotId> exchange(bool arrives = true) {
    const std::size_t device_room = free_device_.size(), host_room = free_host_.size();
    std::vector<SlotId> arriving, leaving;
    if (device_room + host_room > 0 && arrives) {
      arriving = pick(marks_.host, random_() % (kHostSlots + 1));
    }
    leaving = pick(marks_.device, std::min(random_() % kDeviceSlots, host_room + arriving.size()));
    arriving.resize(std::min(arriving.size(), device_room + leaving.size()));
    leaving.resize(std::min(leaving.size(), host_room + arriving.size()));
    const std::vector<SlotId> to_device = hand_out(free_device_, leaving, arriving.size());
    const std::vector<SlotId> to_host = hand_out(free_host_, arriving, leaving.size());
    Exchange planned;
    planned.arriving = static_cast<std::int64_t>(arriving.size());
    planned.leaving = static_cast<std::int64_t>(leaving.size());
    planned.free_device = static_cast<std::int64_t>(device_room);
    planned.free_host = static_cast<std::int64_t>(host_room);
    planned.lists = {list(arriving), list(to_device), list(leaving), list(to_host)};
    transfers_.follow(*plan_);
    transfers_.exchange(arena_, host_, planned);

    const Marks before = marks_;
    for (const SlotId slot : arriving) marks_.host[slot] = 0;
    for (const SlotId slot : leaving) marks_.device[slot] = 0;
    for (std::size_t i = 0; i < arriving.size(); ++i) {
      marks_.device[to_device[i]] = before.host[arriving[i]];
    }
    for (std::size_t i = 0; i < leaving.size(); ++i) {
      marks_.host[to_host[i]] = before.device[leaving[i]];
    }
    return leaving;
  }

  // Of the device's slots, once the plan has run; free ones say anything.
  void queue_reading() {
    backend_.pack_records(*plan_, arena_, scratch_, nullptr, slot_numbers(), kDeviceSlots);
  }
  void expect_read() const {
    for (SlotId i = 0; i < kDeviceSlots; ++i) {
      if (marks_.device[i] == 0) continue;
      EXPECT_EQ(mark_of(scratch_.record(i)), marks_.device[i]) << "device slot " << i;
    }
  }
  void expect_all() {
    transfers_.synchronize();
    for (SlotId i = 0; i < kHostSlots; ++i) {
      if (marks_.host[i] == 0) continue;
      EXPECT_EQ(mark_of(host_.record(i)), marks_.host[i]) << "host slot " << i;
    }
    queue_reading();
    plan_->synchronize();
    expect_read();
    lists_ = 0;
  }

  kernels::Backend& backend_ = mneme::testing::test_backend();
  std::unique_ptr<kernels::Stream> plan_ = backend_.create_stream();
  RowTransfers transfers_;
  kernels::RowArena arena_;
  kernels::Buffer values_, last_step_, host_memory_, scratch_memory_;
  kernels::HostRecords host_;
  kernels::HostRecords scratch_;  // as many as device slots
  // Allocated once: on the way the emulated device runs what is queued.
  kernels::Buffer list_memory_, list_sources_;
  std::size_t lists_ = 0;
  Marks marks_;
  std::deque<SlotId> free_device_, free_host_;
  std::uint32_t next_mark_ = 1;
  std::mt19937_64 random_{3};
};

TEST_F(TransferOrderTest, ExchangesThatNobodyWaitsForTakeEffectOneAfterTheOther) {
  for (int repetition = 0; repetition < kRepetitions && !HasFailure(); ++repetition) {
    for (int i = 0; i < kExchanges; ++i) exchange();
    expect_all();
  }
}

TEST_F(TransferOrderTest, ThePlanGoesOnWithTheRowsThatHaveArrived) {
  for (int repetition = 0; repetition < kRepetitions && !HasFailure(); ++repetition) {
    exchange();
    transfers_.arrive_before(*plan_);
    queue_reading();
    plan_->synchronize();
    expect_read();
    expect_all();
  }
}

TEST_F(TransferOrderTest, WhatFillsSlotsComesAfterTheRowsThatLeaveThem) {
  for (int repetition = 0; repetition < kRepetitions && !HasFailure(); ++repetition) {
    exchange();
    const std::vector<SlotId> emptied = exchange(/*arrives=*/false);
    for (std::size_t i = 0; i < emptied.size(); ++i) {
      marks_.device[emptied[i]] = next_mark_;
      mark(scratch_.record(static_cast<SlotId>(i)), next_mark_++);
      std::erase(free_device_, emptied[i]);
    }
    const SlotId* slots = list(emptied);
    transfers_.fill_after_write_back();
    plan_->synchronize();  // the list is there, nothing more
    backend_.unpack_records(transfers_.page_in(), arena_, scratch_, nullptr, slots,
                            static_cast<std::int64_t>(emptied.size()));
    expect_all();
    // Slots for the next ones.
    for (const SlotId slot : pick(marks_.host, 3)) {
      marks_.host[slot] = 0;
      free_host_.push_back(slot);
    }
  }
}

}  // namespace
}  // namespace mneme::offload
