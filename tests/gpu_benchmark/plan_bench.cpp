#include "tests/gpu_benchmark/plan_bench.h"

#include <algorithm>
#include <numeric>

#include "io/check.h"

namespace mneme::gpu_benchmark {

using kernels::RowId;
using kernels::SlotId;
using kernels::SlotTable;

namespace {

constexpr std::uint32_t kLeases = 16, kUseCounter = 100, kStep = 7;

// Memory that the arrays of a plan are pieces of.
class Pieces {
 public:
  explicit Pieces(std::byte* memory) : next_(memory) {}
  template <typename T>
  T* take(std::size_t count) {
    T* const piece = reinterpret_cast<T*>(next_);
    next_ += (count * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
  std::size_t taken(const std::byte* memory) const {
    return static_cast<std::size_t>(next_ - memory);
  }

 private:
  std::byte* next_;
};

void make_table(Pieces& pieces, SlotTable& table) {
  table.row_of_slot = pieces.take<RowId>(table.slots);
  table.state = pieces.take<std::uint8_t>(table.slots);
  table.last_used = pieces.take<std::uint32_t>(table.slots);
  table.leased = pieces.take<std::uint32_t>(table.slots);
  table.step_used = pieces.take<std::uint32_t>(table.slots);
  table.frequency = pieces.take<float>(table.slots);
  table.referenced = pieces.take<std::uint8_t>(table.slots);
  table.occupied = pieces.take<std::uint8_t>(table.slots);
  table.inserted = pieces.take<std::uint32_t>(table.slots);
  table.free_slots = pieces.take<SlotId>(table.slots);
  table.totals = pieces.take<kernels::SlotTableState>(1);
}

}  // namespace

PlanBench::PlanBench() {
  make_tables();
  shuffle_free_slots(device_);
  shuffle_free_slots(host_);
  auto rows = place_rows();
  place_on_disk(rows[kInHost]);
  place_on_disk(rows[kOnDiskOnly]);
  fill_device(std::move(rows[kOnDevice]));
  fill_host(std::move(rows[kInHost]));
  make_lookups();
  make_lists();
  try_all();
}

void PlanBench::make_tables() {
  device_.slots = host_.slots = rows_ / 4;
  host_.place = kernels::Place::kHost;
  memory_bytes_ = std::size_t{4} * rows_ + std::size_t{2} * 31 * device_.slots +
                  std::size_t{4} * static_cast<std::size_t>(distinct_) + std::size_t{32} * 64;
  memory_ = bench_.make<std::byte>(static_cast<std::int64_t>(memory_bytes_));
  kept_ = bench_.make<std::byte>(static_cast<std::int64_t>(memory_bytes_));
  Pieces pieces(memory_);
  device_.locations = host_.locations = pieces.take<kernels::Location>(rows_);
  make_table(pieces, device_);
  make_table(pieces, host_);
  lookup_.slots = pieces.take<SlotId>(static_cast<std::size_t>(distinct_));
  CHECK(pieces.taken(memory_) <= memory_bytes_);
}

void PlanBench::shuffle_free_slots(const SlotTable& table) {
  backend_.reset_slots(stream_, table);
  auto* const slots = bench_.pinned<SlotId>(table.slots);
  auto* const count = bench_.pinned<std::uint64_t>(1);
  backend_.take_slots(stream_, table, table.slots, slots, count);
  stream_.synchronize();
  std::shuffle(slots, slots + table.slots, random_);
  backend_.release_slots(stream_, table, slots, count, table.slots);
  stream_.synchronize();
}

// The rows of each home.
std::vector<std::vector<RowId>> PlanBench::place_rows() {
  homes_.resize(rows_);
  std::vector<std::vector<RowId>> rows(kHomes);
  for (RowId first = 0; first < rows_; first += 4) {
    std::uint8_t homes[] = {kOnDevice, kInHost, kUntouchedYet, kOnDiskOnly};
    if (first / 4 % 8 == 7) homes[1] = kOnDiskOnly;
    std::shuffle(homes, homes + 4, random_);
    for (RowId i = 0; i < 4; ++i) {
      homes_[first + i] = homes[i];
      rows[homes[i]].push_back(first + i);
    }
  }
  return rows;
}

void PlanBench::place_on_disk(const std::vector<RowId>& rows) {
  backend_.place_on_disk(stream_, device_.locations, bench_.upload(rows), std::ssize(rows));
}

// Leases, one after the other, brought in rows from anywhere to slots anywhere.
void PlanBench::fill_device(std::vector<RowId> rows) {
  std::shuffle(rows.begin(), rows.end(), random_);
  std::vector<std::uint32_t> all(rows.size());
  std::iota(all.begin(), all.end(), 0u);
  const RowId* const device_rows = bench_.upload(rows);
  const std::uint32_t* const missing = bench_.upload(all);
  auto* const slots = bench_.make<SlotId>(std::ssize(rows));
  const std::int64_t count = device_.slots / kLeases;
  for (std::uint32_t lease = 0; lease < kLeases; ++lease) {
    backend_.bind_missing(stream_, device_, host_,
                          {.rows = device_rows,
                           .slots = slots,
                           .missing = missing + lease * count,
                           .count = count,
                           .use_counter = lease + 1});
  }
  backend_.mark_used(
      stream_, device_,
      {.slots = slots, .count = std::ssize(rows), .use = false, .lease = false, .dirty = true});
  stream_.synchronize();
}

void PlanBench::fill_host(std::vector<RowId> rows) {
  std::shuffle(rows.begin(), rows.end(), random_);
  const std::int64_t count = std::ssize(rows);
  auto* const published = bench_.pinned<RowId>(count);
  std::copy(rows.begin(), rows.end(), published);
  auto* const slots = bench_.pinned<SlotId>(count);
  auto* const taken = bench_.pinned<std::uint64_t>(1);
  backend_.take_slots(stream_, host_, count, slots, taken);
  const std::int64_t part = (count + kLeases - 1) / kLeases;
  for (std::int64_t first = 0; first < count; first += part) {
    backend_.publish_rows(stream_, host_,
                          {.rows = published + first,
                           .slots = slots + first,
                           .count = std::min(part, count - first),
                           .use_counter = static_cast<std::uint32_t>(first / part) + 1});
  }
  stream_.synchronize();
}

void PlanBench::make_lookups() {
  std::vector<RowId> rows;
  for (std::int64_t i = 0; i < distinct_; ++i) {
    const std::uint32_t chance = random_();
    // The group's row with the drawn home; of two on disk, the first.
    const Home wanted = chance % 2 == 0   ? kOnDevice
                        : chance % 4 == 1 ? kInHost
                        : chance % 8 == 3 ? kUntouchedYet
                                          : kOnDiskOnly;
    const auto group = static_cast<RowId>(16 * i + (chance >> 8) % 4 * 4);
    RowId row = group;
    while (row < group + 3 && homes_[row] != wanted) ++row;
    ++counts_[homes_[row]];
    rows.insert(rows.end(), 2, row);
  }
  missing_ = distinct_ - counts_[kOnDevice];
  std::shuffle(rows.begin(), rows.end(), random_);
  const std::int64_t lookups = std::ssize(rows);
  grouped_ = {.rows = bench_.upload(rows),
              .lookups = lookups,
              .lookups_per_token = 128,
              .unique_rows = bench_.make<std::uint32_t>(lookups),
              .offsets = bench_.make<std::uint32_t>(lookups + 1),
              .order = bench_.make<std::uint32_t>(lookups),
              .unique_index = bench_.make<std::uint32_t>(lookups),
              .token_order = bench_.make<std::uint32_t>(lookups),
              .count = bench_.pinned<std::uint64_t>(1)};
}

void PlanBench::make_lists() {
  lookup_.rows = grouped_.unique_rows;
  lookup_.count = distinct_;
  lookup_.missing = bench_.make<std::uint32_t>(distinct_);
  lookup_.disk_rows = bench_.pinned<RowId>(distinct_);
  lookup_.host_lease = kUseCounter;
  lookup_.report = bench_.pinned<kernels::LookupReport>(1);
  victims_ = {.kind = kernels::ReplacementKind::kLru,
              .wanted = missing_,
              .use_counter = kUseCounter,
              .step = kStep,
              .first_live_lease = kUseCounter,
              .slots = bench_.make<SlotId>(missing_),
              .rows = bench_.make<RowId>(missing_),
              .state = bench_.make<std::uint8_t>(missing_),
              .last_used = bench_.make<std::uint32_t>(missing_),
              .step_used = bench_.make<std::uint32_t>(missing_),
              .frequency = bench_.make<float>(missing_),
              .count = bench_.make<std::uint64_t>(1)};
  demote_ = {.slots = victims_.slots,
             .rows = victims_.rows,
             .state = victims_.state,
             .last_used = victims_.last_used,
             .step_used = victims_.step_used,
             .frequency = victims_.frequency,
             .count = victims_.count,
             .most = missing_,
             .use_counter = kUseCounter,
             .from = bench_.make<SlotId>(missing_),
             .to = bench_.make<SlotId>(missing_)};
  bind_ = {.rows = lookup_.rows,
           .slots = lookup_.slots,
           .missing = lookup_.missing,
           .count = missing_,
           .use_counter = kUseCounter,
           .from = bench_.make<SlotId>(missing_),
           .to = bench_.make<SlotId>(missing_),
           .bound_rows = bench_.make<RowId>(missing_)};
}

void PlanBench::look_up() {
  backend_.lookup_slots(stream_, device_, host_, lookup_);
}

void PlanBench::lease() {
  backend_.mark_used(
      stream_, device_,
      {.slots = lookup_.slots, .count = distinct_, .use_counter = kUseCounter, .use = false});
}

void PlanBench::select() {
  backend_.select_victims(stream_, device_, victims_);
}

void PlanBench::release() {
  backend_.release_slots(stream_, device_, victims_.slots, victims_.count, missing_);
}

void PlanBench::bind() {
  backend_.bind_missing(stream_, device_, host_, bind_);
}

void PlanBench::demote() {
  backend_.demote_victims(stream_, device_, host_, demote_);
}

void PlanBench::use() {
  backend_.mark_used(
      stream_, device_,
      {.slots = lookup_.slots, .count = distinct_, .use_counter = kUseCounter, .step = kStep});
}

void PlanBench::all() {
  look_up();
  lease();
  select();
  release();
  bind();
  demote();
  use();
}

// The lists have the expected lengths, and in the end all rows are there.
void PlanBench::try_all() {
  group();
  keep();
  all();
  stream_.synchronize();
  CHECK(*grouped_.count == static_cast<std::uint64_t>(distinct_));
  const kernels::LookupReport first = *lookup_.report;
  CHECK(first.in_host == static_cast<std::uint64_t>(counts_[kInHost]));
  CHECK(first.untouched == static_cast<std::uint64_t>(counts_[kUntouchedYet]));
  CHECK(first.on_disk == static_cast<std::uint64_t>(counts_[kOnDiskOnly]));
  look_up();
  stream_.synchronize();
  const kernels::LookupReport& then = *lookup_.report;
  CHECK(then.in_host + then.untouched + then.on_disk == 0);
  CHECK(then.device.free == 0);
  CHECK(then.host.free == first.host.free - missing_ + counts_[kInHost]);
  restore();
}

}  // namespace mneme::gpu_benchmark
