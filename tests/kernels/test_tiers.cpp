#include "tests/kernels/test_tiers.h"

namespace mneme::testing {

using kernels::RowId;
using kernels::SlotId;
using kernels::SlotTable;

namespace {

template <typename T>
std::int64_t length(const std::vector<T>& list) {
  return static_cast<std::int64_t>(list.size());
}

}  // namespace

TestTier::TestTier(kernels::Backend& backend, kernels::Location* locations, kernels::Place place,
                   std::uint32_t slots, const OptionalArrays& arrays)
    : row_of_slot_(backend, slots),
      last_used_(backend, slots),
      leased_(backend, slots),
      step_used_(backend, slots),
      inserted_(backend, slots),
      free_slots_(backend, slots),
      frequency_(backend, slots),
      uses_(backend, slots, 77.0f),
      state_(backend, slots, std::uint8_t{7}),
      referenced_(backend, slots),
      occupied_(backend, slots, std::uint8_t{1}),
      totals_(backend, 1) {
  table_ = {.place = place,
            .locations = locations,
            .row_of_slot = row_of_slot_.data(),
            .state = state_.data(),
            .last_used = last_used_.data(),
            .leased = leased_.data(),
            .step_used = step_used_.data(),
            .frequency = frequency_.data(),
            .referenced = referenced_.data(),
            .occupied = occupied_.data(),
            .slots = slots,
            .inserted = arrays.inserted ? inserted_.data() : nullptr,
            .free_slots = free_slots_.data(),
            .totals = totals_.data(),
            .uses = arrays.uses ? uses_.data() : nullptr};
  const auto stream = backend.create_stream();
  backend.reset_slots(*stream, table_);
  stream->synchronize();
}

std::vector<SlotId> TestTier::free_queue() const {
  std::vector<SlotId> queue;
  for (std::uint32_t i = 0; i < totals_[0].free; ++i) {
    queue.push_back(free_slots_[(totals_[0].first_free + i) % table_.slots]);
  }
  return queue;
}

TestTiers::TestTiers(kernels::Backend& backend, std::uint32_t rows, std::uint32_t device_slots,
                     std::uint32_t host_slots, const OptionalArrays& arrays)
    : backend_(backend),
      stream_(backend.create_stream()),
      locations_(backend, rows),
      device_(backend, locations_.data(), kernels::Place::kDevice, device_slots, arrays),
      host_(backend, locations_.data(), kernels::Place::kHost, host_slots, arrays) {
  if (host_slots > 0) host_table_ = host_.table();
}

TestTiers::Looked TestTiers::lookup(const std::vector<RowId>& rows, std::uint32_t host_lease,
                                    bool use_hints) {
  const std::int64_t count = length(rows);
  const Pinned<RowId> row_list(backend_, rows), disk_rows(backend_, count);
  const Pinned<RowId> hinted_rows(backend_, count);
  const Pinned<SlotId> slots(backend_, count);
  const Pinned<std::uint32_t> missing(backend_, count);
  const Pinned<kernels::LookupReport> report(backend_, 1);
  backend_.lookup_slots(*stream_, device(), host(),
                        {.rows = row_list.data(),
                         .count = count,
                         .slots = slots.data(),
                         .missing = missing.data(),
                         .disk_rows = disk_rows.data(),
                         .hinted_rows = hinted_rows.data(),
                         .host_lease = host_lease,
                         .use_hints = use_hints,
                         .report = report.data()});
  stream_->synchronize();
  const kernels::LookupReport& found = report[0];
  return {slots.values(), first_of(missing, found.in_host + found.untouched + found.on_disk),
          first_of(disk_rows, found.on_disk), found, first_of(hinted_rows, found.hinted)};
}

TestTiers::Bound TestTiers::bind(const std::vector<RowId>& rows, const std::vector<SlotId>& slots,
                                 const std::vector<std::uint32_t>& missing,
                                 kernels::BindMissingArgs args) {
  const std::int64_t count = length(missing);
  const Pinned<RowId> row_list(backend_, rows), bound_rows(backend_, count);
  const Pinned<SlotId> slot_list(backend_, slots), from(backend_, count), to(backend_, count);
  const Pinned<std::uint32_t> missing_list(backend_, missing);
  args.rows = row_list.data();
  args.slots = slot_list.data();
  args.missing = missing_list.data();
  args.count = count;
  args.from = from.data();
  args.to = to.data();
  args.bound_rows = bound_rows.data();
  backend_.bind_missing(*stream_, device(), host(), args);
  stream_->synchronize();
  return {slot_list.values(), from.values(), to.values(), bound_rows.values()};
}

std::vector<SlotId> TestTiers::bring(const std::vector<RowId>& rows, std::uint32_t use_counter,
                                     std::uint32_t step) {
  const Looked looked = lookup(rows);
  return bind(rows, looked.slots, looked.missing, {.use_counter = use_counter, .step_used = step})
      .slots;
}

void TestTiers::mark(const SlotTable& table, const std::vector<SlotId>& slots,
                     kernels::MarkUsedArgs args) {
  const Pinned<SlotId> list(backend_, slots);
  args.slots = list.data();
  args.count = length(slots);
  backend_.mark_used(*stream_, table, args);
  stream_->synchronize();
}

void TestTiers::mark_unsaved(const SlotTable& table) {
  backend_.mark_unsaved(*stream_, table);
  stream_->synchronize();
}

std::vector<kernels::Location> TestTiers::take_unsaved(const std::vector<RowId>& rows) {
  const Pinned<RowId> list(backend_, rows), taken_rows(backend_, length(rows));
  const Pinned<kernels::Location> taken(backend_, length(rows));
  backend_.take_unsaved(*stream_, device(), host(),
                        {.rows = list.data(),
                         .count = length(rows),
                         .taken = taken.data(),
                         .taken_rows = taken_rows.data()});
  stream_->synchronize();
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), taken_rows.data()));
  return {taken.data(), taken.data() + length(rows)};
}

TestTiers::Victims TestTiers::select(const SlotTable& table, kernels::SelectVictimsArgs args,
                                     std::uint32_t* hand) {
  const Pinned<SlotId> slots(backend_, args.wanted);
  const Pinned<RowId> rows(backend_, args.wanted);
  const Pinned<std::uint8_t> state(backend_, args.wanted);
  const Pinned<std::uint32_t> last_used(backend_, args.wanted), step_used(backend_, args.wanted);
  const Pinned<float> frequency(backend_, args.wanted), uses(backend_, args.wanted);
  const Pinned<std::uint64_t> count(backend_, 1, 99u);
  const Pinned<std::uint32_t> hand_now(backend_, 1, hand != nullptr ? *hand : 0);
  args.slots = slots.data();
  args.rows = rows.data();
  args.state = state.data();
  args.last_used = last_used.data();
  args.step_used = step_used.data();
  args.frequency = frequency.data();
  if (table.uses != nullptr) args.uses = uses.data();
  args.count = count.data();
  args.hand = hand_now.data();
  backend_.select_victims(*stream_, table, args);
  stream_->synchronize();
  if (hand != nullptr) *hand = hand_now[0];
  return {first_of(slots, count[0]),
          first_of(rows, count[0]),
          first_of(state, count[0]),
          first_of(last_used, count[0]),
          first_of(step_used, count[0]),
          first_of(frequency, count[0]),
          table.uses != nullptr ? first_of(uses, count[0]) : std::vector<float>{}};
}

TestTiers::Demoted TestTiers::demote(const Victims& victims, std::uint32_t use_counter,
                                     std::int64_t padding) {
  const std::int64_t most = length(victims.slots) + padding;
  const auto padded = [&](auto list, auto filler) {
    list.resize(static_cast<std::size_t>(most), filler);
    return list;
  };
  const Pinned<SlotId> slots(backend_, padded(victims.slots, SlotId{12345}));
  const Pinned<RowId> rows(backend_, padded(victims.rows, RowId{12345}));
  const Pinned<std::uint8_t> state(backend_, padded(victims.state, kernels::kDirty));
  const Pinned<std::uint32_t> last_used(backend_, padded(victims.last_used, 12345u));
  const Pinned<std::uint32_t> step_used(backend_, padded(victims.step_used, 12345u));
  const Pinned<float> frequency(backend_, padded(victims.frequency, 12345.0f));
  const Pinned<float> uses(backend_, padded(victims.uses, 12345.0f));
  const Pinned<std::uint64_t> count(backend_, 1, victims.slots.size());
  const Pinned<SlotId> from(backend_, most), to(backend_, most);
  const Pinned<std::uint64_t> moved(backend_, 1);
  backend_.demote_victims(*stream_, device(), host(),
                          {.slots = slots.data(),
                           .rows = rows.data(),
                           .state = state.data(),
                           .last_used = last_used.data(),
                           .step_used = step_used.data(),
                           .frequency = frequency.data(),
                           .uses = host().uses != nullptr ? uses.data() : nullptr,
                           .count = count.data(),
                           .most = most,
                           .use_counter = use_counter,
                           .from = from.data(),
                           .to = to.data(),
                           .moved = moved.data()});
  stream_->synchronize();
  return {from.values(), to.values(), moved[0]};
}

void TestTiers::release(const SlotTable& table, const std::vector<SlotId>& slots,
                        std::int64_t most) {
  const Pinned<SlotId> list(backend_, slots);
  const Pinned<std::uint64_t> count(backend_, 1, slots.size());
  backend_.release_slots(*stream_, table, list.data(), count.data(),
                         most >= 0 ? most : length(slots));
  stream_->synchronize();
}

std::vector<SlotId> TestTiers::take(const SlotTable& table, std::int64_t most) {
  const Pinned<SlotId> slots(backend_, most);
  const Pinned<std::uint64_t> count(backend_, 1, 99u);
  backend_.take_slots(*stream_, table, most, slots.data(), count.data());
  stream_->synchronize();
  return first_of(slots, count[0]);
}

void TestTiers::publish(const std::vector<RowId>& rows, const std::vector<SlotId>& slots,
                        std::uint32_t use_counter, std::uint32_t step_used) {
  const Pinned<RowId> row_list(backend_, rows);
  const Pinned<SlotId> slot_list(backend_, slots);
  backend_.publish_rows(*stream_, host(),
                        {.rows = row_list.data(),
                         .slots = slot_list.data(),
                         .count = length(rows),
                         .use_counter = use_counter,
                         .step_used = step_used});
  stream_->synchronize();
}

std::vector<kernels::Location> TestTiers::locate(const std::vector<RowId>& rows) {
  const Pinned<RowId> row_list(backend_, rows);
  const Pinned<kernels::Location> out(backend_, length(rows));
  backend_.locate_rows(*stream_, locations_.data(), row_list.data(), length(rows), out.data());
  stream_->synchronize();
  return out.values();
}

void TestTiers::place_on_disk(const std::vector<RowId>& rows) {
  const Pinned<RowId> row_list(backend_, rows);
  backend_.place_on_disk(*stream_, locations_.data(), row_list.data(), length(rows));
  stream_->synchronize();
}

std::uint64_t TestTiers::count_spare(const SlotTable& table, std::uint32_t step,
                                     std::uint32_t first_live_lease) {
  const Pinned<std::uint64_t> count(backend_, 1);
  backend_.count_spare_slots(
      *stream_, table, {.step = step, .first_live_lease = first_live_lease, .count = count.data()});
  stream_->synchronize();
  return count[0];
}

std::vector<std::pair<SlotId, RowId>> TestTiers::dirty(const SlotTable& table) {
  const Pinned<SlotId> slots(backend_, table.slots);
  const Pinned<RowId> rows(backend_, table.slots);
  const Pinned<std::uint64_t> count(backend_, 1);
  backend_.list_dirty(*stream_, table, slots.data(), rows.data(), count.data());
  stream_->synchronize();
  std::vector<std::pair<SlotId, RowId>> all;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(count[0]); ++i) {
    all.emplace_back(slots[i], rows[i]);
  }
  return all;
}

}  // namespace mneme::testing
