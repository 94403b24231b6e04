// The step plan of the device tier: a step looks up 4M distinct rows, twice each, of a table of
// 67M rows. 16M slots are all taken; half of the step's rows are in them, the others take the place
// of the least recently used.
#include <numeric>
#include <random>

#include "io/check.h"
#include "tests/gpu_benchmark/bench.h"

namespace mneme::gpu_benchmark {
namespace {

// A word of a scattered array costs the 32 bytes that device memory hands out at once.
constexpr double kWord = 32;

class StepPlan {
 public:
  StepPlan();

  // The step's operations, in order.
  void group() { backend_.group_lookups(stream_, grouped_); }
  void look_up();
  void lease();
  void select();
  void bind();
  void use();
  void all();

  Work group_work() const { return {.bytes = 2 * distinct() * (4 * 16 + 36)}; }
  Work look_up_work() const {
    return {.bytes = distinct() * (kWord + 8), .bytes_to_host = missing() * 8};
  }
  Work lease_work() const { return {.bytes = distinct() * 4 + (distinct() - missing()) * kWord}; }
  Work select_work() const {
    constexpr double kPasses = 4 + 2;
    return {.bytes = kPasses * 13 * table_.slots + missing() * 4 * kWord,
            .bytes_to_host = missing() * 9};
  }
  Work bind_work() const {
    return {.bytes = missing() * 11 * kWord, .bytes_from_host = missing() * 8};
  }
  Work use_work() const { return {.bytes = distinct() * (4 + 7 * kWord)}; }
  Work all_work() const;

  // Keeps the table as it is now, and brings back what was kept.
  void keep() { backend_.copy(stream_, kept_, memory_, memory_bytes()); }
  void restore() { backend_.copy(stream_, memory_, kept_, memory_bytes()); }

  Bench& bench() { return bench_; }

 private:
  static constexpr std::uint32_t kUseCounter = 100, kStep = 7;

  double distinct() const { return static_cast<double>(distinct_); }
  double missing() const { return static_cast<double>(missing_); }
  std::size_t memory_bytes() const { return 4 * rows_ + std::size_t{27} * table_.slots; }
  void make_table();
  void fill_table(const std::vector<kernels::RowId>& resident);
  void make_lookups(const std::vector<kernels::RowId>& resident);
  void make_lists();
  void try_all();

  Bench bench_;
  kernels::Backend& backend_ = bench_.backend();
  kernels::Stream& stream_ = bench_.stream();
  std::mt19937 random_{1};
  std::int64_t distinct_ = shrunk(std::int64_t{1} << 22, 64);
  std::size_t rows_ = static_cast<std::size_t>(distinct_) * 16;
  std::int64_t missing_ = 0;
  std::byte *memory_, *kept_;
  kernels::SlotTable table_;
  kernels::GroupedLookups grouped_;
  kernels::LookupSlotsArgs lookup_;
  kernels::SelectVictimsArgs victims_;
};

// One of every four rows is on the device.
StepPlan::StepPlan() {
  std::vector<kernels::RowId> resident(rows_ / 4);
  for (std::size_t i = 0; i < resident.size(); ++i) {
    resident[i] = static_cast<kernels::RowId>(4 * i + random_() % 4);
  }
  make_table();
  make_lookups(resident);
  fill_table(resident);
  make_lists();
  try_all();
}

void StepPlan::make_table() {
  table_.slots = static_cast<std::uint32_t>(rows_ / 4);
  memory_ = bench_.make<std::byte>(static_cast<std::int64_t>(memory_bytes()));
  kept_ = bench_.make<std::byte>(static_cast<std::int64_t>(memory_bytes()));
  std::byte* next = memory_;
  const auto take = [&]<typename T>(T*& array, std::size_t count) {
    array = reinterpret_cast<T*>(next);
    next += count * sizeof(T);
  };
  take(table_.slot_of_row, rows_);
  take(table_.row_of_slot, table_.slots);
  take(table_.last_used, table_.slots);
  take(table_.leased, table_.slots);
  take(table_.step_used, table_.slots);
  take(table_.inserted, table_.slots);
  take(table_.frequency, table_.slots);
  take(table_.dirty, table_.slots);
  take(table_.referenced, table_.slots);
  take(table_.occupied, table_.slots);
}

// Sixteen leases, one after the other, brought in rows from anywhere to slots anywhere.
void StepPlan::fill_table(const std::vector<kernels::RowId>& resident) {
  std::vector<kernels::RowId> rows = resident;
  std::shuffle(rows.begin(), rows.end(), random_);
  std::vector<kernels::SlotId> slots(rows.size());
  std::iota(slots.begin(), slots.end(), 0u);
  std::shuffle(slots.begin(), slots.end(), random_);
  const kernels::RowId* const device_rows = bench_.upload(rows);
  const kernels::SlotId* const device_slots = bench_.upload(slots);
  const std::int64_t count = table_.slots / 16;
  for (std::uint32_t lease = 0; lease < 16; ++lease) {
    const std::int64_t first = lease * count;
    backend_.bind_slots(stream_, table_, device_rows + first, device_slots + first, count,
                        lease + 1);
  }
}

// One of every 16 rows, by chance one that is resident or not.
void StepPlan::make_lookups(const std::vector<kernels::RowId>& resident) {
  std::vector<kernels::RowId> rows;
  for (std::int64_t i = 0; i < distinct_; ++i) {
    const std::uint32_t chance = random_();
    kernels::RowId row = resident[static_cast<std::size_t>(4 * i + chance % 4)];
    if ((chance >> 8) % 2 != 0) {
      row = row / 4 * 4 + (row + 1 + (chance >> 16) % 3) % 4;
      ++missing_;
    }
    rows.insert(rows.end(), 2, row);
  }
  std::shuffle(rows.begin(), rows.end(), random_);
  const auto lookups = static_cast<std::int64_t>(rows.size());
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

void StepPlan::make_lists() {
  lookup_ = {.rows = grouped_.unique_rows,
             .count = distinct_,
             .slots = bench_.make<kernels::SlotId>(distinct_),
             .missing_rows = bench_.pinned<kernels::RowId>(distinct_),
             .missing_index = bench_.pinned<std::uint32_t>(distinct_),
             .missing_count = bench_.pinned<std::uint64_t>(1)};
  victims_ = {.kind = kernels::ReplacementKind::kLru,
              .wanted = missing_,
              .use_counter = kUseCounter,
              .step = kStep,
              .first_live_lease = kUseCounter,
              .slots = bench_.pinned<kernels::SlotId>(missing_),
              .rows = bench_.pinned<kernels::RowId>(missing_),
              .dirty = bench_.pinned<std::uint8_t>(missing_),
              .count = bench_.pinned<std::uint64_t>(1),
              .hand = bench_.pinned<std::uint32_t>(1)};
}

void StepPlan::look_up() {
  backend_.lookup_slots(stream_, table_, lookup_);
}

void StepPlan::lease() {
  backend_.mark_used(
      stream_, table_,
      {.slots = lookup_.slots, .count = distinct_, .use_counter = kUseCounter, .use = false});
}

void StepPlan::select() {
  backend_.select_victims(stream_, table_, victims_);
}

void StepPlan::bind() {
  backend_.bind_slots(stream_, table_, lookup_.missing_rows, victims_.slots, missing_, kUseCounter);
}

void StepPlan::use() {
  backend_.mark_used(
      stream_, table_,
      {.slots = lookup_.slots, .count = distinct_, .use_counter = kUseCounter, .step = kStep});
}

// As TieredStore does it, but without waiting for the lists: their lengths are known.
void StepPlan::all() {
  group();
  look_up();
  lease();
  select();
  bind();
  look_up();
  use();
}

// The lists have the expected lengths, and in the end all rows are there.
void StepPlan::try_all() {
  keep();
  all();
  stream_.synchronize();
  CHECK(*grouped_.count == static_cast<std::uint64_t>(distinct_));
  CHECK(*victims_.count == static_cast<std::uint64_t>(missing_));
  CHECK(*lookup_.missing_count == 0);
  restore();
}

Work StepPlan::all_work() const {
  Work sum;
  // The second look-up finds every row.
  const Work again{.bytes = look_up_work().bytes};
  for (const Work& work : {group_work(), look_up_work(), lease_work(), select_work(), bind_work(),
                           again, use_work()}) {
    sum.bytes += work.bytes;
    sum.bytes_from_host += work.bytes_from_host;
    sum.bytes_to_host += work.bytes_to_host;
  }
  return sum;
}

// Times one operation after those in front of it, each run on the same table.
void add_step(const std::string& name, std::vector<void (StepPlan::*)()> in_front,
              void (StepPlan::*step)(), Work (StepPlan::*work)() const) {
  add(name, [=](benchmark::State& state) {
    StepPlan plan;
    for (const auto operation : in_front) (plan.*operation)();
    plan.keep();
    plan.bench().stream().synchronize();
    time_operation(
        state, plan.bench(), (plan.*work)(), [&] { (plan.*step)(); }, [&] { plan.restore(); });
  });
}

}  // namespace

void add_residency() {
  using Plan = StepPlan;
  add_step("group_lookups/8M_of_67M", {}, &Plan::group, &Plan::group_work);
  add_step("lookup_slots/4M_of_67M/half_missing", {&Plan::group}, &Plan::look_up,
           &Plan::look_up_work);
  add_step("select_victims/lru/2M_of_16M", {&Plan::group, &Plan::look_up, &Plan::lease},
           &Plan::select, &Plan::select_work);
  add_step("bind_slots/2M", {&Plan::group, &Plan::look_up, &Plan::lease, &Plan::select},
           &Plan::bind, &Plan::bind_work);
  add_step("mark_used/4M",
           {&Plan::group, &Plan::look_up, &Plan::lease, &Plan::select, &Plan::bind, &Plan::look_up},
           &Plan::use, &Plan::use_work);
  add_step("step_plan/4M_of_67M/lru", {}, &Plan::all, &Plan::all_work);
}

}  // namespace mneme::gpu_benchmark
