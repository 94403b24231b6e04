// Operations on whole rows of the CPU backend: initial values, records, copies between slots.
#include <algorithm>
#include <cstring>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cpu {
namespace {

// Counter word 3 of the generator: each use of random numbers has its own, so that none repeats.
constexpr std::uint32_t kInitialValues = 0x6d6e656d;

std::byte* bytes_of(void* base, SlotId slot, std::size_t row_bytes) {
  return static_cast<std::byte*>(base) + static_cast<std::size_t>(slot) * row_bytes;
}

// Of a copy. One thread is faster than a link or a disk: others are asked for help with long lists
// only, since a thread that has helped looks for more work for a while, at the cost of who
// computes.
std::int64_t rows_per_copy(const RecordLayout& layout) {
  constexpr std::int64_t kBytes = std::int64_t{1} << 20;
  return std::max<std::int64_t>(1, kBytes / static_cast<std::int64_t>(layout.record_bytes()));
}

std::int64_t rows_per_task(const RecordLayout& layout) {
  return rows_per_chunk(static_cast<std::int64_t>(layout.record_bytes()));
}

void check_arena(const RowArena& arena) {
  CHECK(arena.is_complete());
}

MNEME_INLINE void store_initial(float* p, float x) {
  *p = x;
}
MNEME_INLINE void store_initial(Bf16* p, float x) {
  p->bits = float_to_bf16(x);
}

// Random columns 4b .. 4b + 3 come from block b of the row's generator. The generator fills a
// buffer of planes first, so that its rounds run on whole vectors.
constexpr std::int64_t kBlocks = 64;

MNEME_INLINE void generate_blocks(RowId row, const RowInit& init, float deviation,
                                  std::int64_t first_block, float (&planes)[4][kBlocks]) {
  const auto key0 = static_cast<std::uint32_t>(init.seed);
  const auto key1 = static_cast<std::uint32_t>(init.seed >> 32);
#pragma omp simd
  for (std::int64_t i = 0; i < kBlocks; ++i) {
    const auto block = static_cast<std::uint32_t>(first_block + i);
    const PhiloxBlock random =
        philox4x32_10({{block, row, init.table, kInitialValues}}, key0, key1);
    const NormalPair a = normal_pair(random.v[0], random.v[1]);
    const NormalPair b = normal_pair(random.v[2], random.v[3]);
    planes[0][i] = a.first * deviation;
    planes[1][i] = a.second * deviation;
    planes[2][i] = b.first * deviation;
    planes[3][i] = b.second * deviation;
  }
}

template <typename Value>
MNEME_INLINE void generate_row(Value* out, const ArenaPart& part, RowId row, const RowInit& init,
                               float deviation) {
  const std::int64_t width = part.width();
  float planes[4][kBlocks];
  for (std::int64_t column = 0; column < width; column += 4 * kBlocks) {
    generate_blocks(row, init, deviation, (part.random_column + column) / 4, planes);
    const std::int64_t count = std::min(4 * kBlocks, width - column);
    for (std::int64_t c = 0; c < count; ++c) store_initial(out + column + c, planes[c % 4][c / 4]);
  }
}

void generate(const RowArena& arena, const RowId* rows, const SlotId* slots, std::int64_t begin,
              std::int64_t end, const RowInit& init) {
  for (int p = 0; p < arena.layout.part_count; ++p) {
    const ArenaPart part(arena, p);
    const float deviation = init.standard_deviation[p];
    with_float_type(part.layout.value_type, [=, &part, &init](auto type) {
      using Value = decltype(type);
      vectorised([=, &part, &init]() MNEME_VECTORISE {
        for (std::int64_t i = begin; i < end; ++i) {
          generate_row(row_of<Value>(part.arrays.values, slots[i], part.width()), part, rows[i],
                       init, deviation);
        }
      });
    });
    const std::size_t moment_bytes = part.layout.moment_bytes();
    for (std::int64_t i = begin; i < end; ++i) {
      if (part.layout.moments) {
        std::memset(bytes_of(part.arrays.moment1, slots[i], moment_bytes), 0, moment_bytes);
        std::memset(bytes_of(part.arrays.moment2, slots[i], moment_bytes), 0, moment_bytes);
      }
      if (part.layout.gradient) {
        const std::size_t bytes = part.layout.gradient_bytes();
        std::memset(bytes_of(part.arrays.gradient, slots[i], bytes), 0, bytes);
      }
      if (part.layout.sum) part.arrays.sums[slots[i]] = 0;
    }
  }
  for (std::int64_t i = begin; i < end; ++i) {
    arena.last_step[slots[i]] = 0;
    if (arena.moment_lag != nullptr) arena.moment_lag[slots[i]] = 0;
  }
}

// The head of a record, and how it is laid out: row_layout.h.
struct RecordHead {
  std::uint32_t last_step = 0;
  float sum0 = 0;
  std::uint32_t moment_lag = 0;
  float sum1 = 0;
  std::uint32_t zeros[4] = {};
};
static_assert(sizeof(RecordHead) == RecordLayout::kHeadBytes && kMaxRowParts == 2);

RecordHead head_of(const RowArena& arena, SlotId slot) {
  RecordHead head;
  head.last_step = arena.last_step[slot];
  if (arena.moment_lag != nullptr) head.moment_lag = arena.moment_lag[slot];
  if (arena.layout.parts[0].sum) head.sum0 = arena.parts[0].sums[slot];
  if (arena.layout.part_count > 1 && arena.layout.parts[1].sum)
    head.sum1 = arena.parts[1].sums[slot];
  return head;
}

void set_head(const RowArena& arena, SlotId slot, const RecordHead& head) {
  arena.last_step[slot] = head.last_step;
  if (arena.moment_lag != nullptr) arena.moment_lag[slot] = head.moment_lag;
  if (arena.layout.parts[0].sum) arena.parts[0].sums[slot] = head.sum0;
  if (arena.layout.part_count > 1 && arena.layout.parts[1].sum)
    arena.parts[1].sums[slot] = head.sum1;
}

void unpack_row(const RowArena& arena, const RowArrays& arrays, const std::byte* record,
                SlotId slot) {
  RecordHead head;
  std::memcpy(&head, record, sizeof(head));
  set_head(arena, slot, head);
  for (int i = 0; i < arrays.count; ++i) {
    const RowArray& array = arrays.arrays[i];
    std::memcpy(bytes_of(array.base, slot, array.bytes), record + array.offset, array.bytes);
  }
}

// Padding becomes zero: equal rows are equal records.
void pack_row(const RowArena& arena, const RowArrays& arrays, std::byte* record, SlotId slot) {
  const RecordHead head = head_of(arena, slot);
  std::memcpy(record, &head, sizeof(head));
  for (int i = 0; i < arrays.count; ++i) {
    const RowArray& array = arrays.arrays[i];
    std::byte* const target = record + array.offset;
    std::memcpy(target, bytes_of(array.base, slot, array.bytes), array.bytes);
    std::memset(target + array.bytes, 0, RecordLayout::align32(array.bytes) - array.bytes);
  }
}

void copy_row(const RowArena& source, const RowArrays& from, SlotId in, const RowArena& target,
              const RowArrays& to, SlotId out) {
  set_head(target, out, head_of(source, in));
  for (int i = 0; i < from.count; ++i) {
    const std::uint32_t bytes = from.arrays[i].bytes;
    std::memcpy(bytes_of(to.arrays[i].base, out, bytes), bytes_of(from.arrays[i].base, in, bytes),
                bytes);
  }
}

// How many rows ahead the copies touch memory, so that several rows are in flight.
constexpr std::int64_t kCopiedRowsAhead = 4;

void prefetch_arrays(const RowArrays& arrays, SlotId slot) {
  if (slot == kNoSlot) return;
  for (int i = 0; i < arrays.count; ++i) {
    const RowArray& array = arrays.arrays[i];
    prefetch_bytes(bytes_of(array.base, slot, array.bytes), array.bytes);
  }
}

// Entry i of a list of slots; without a list they are 0, 1, 2, ...
SlotId listed(const SlotId* slots, std::int64_t i) {
  return slots != nullptr ? slots[i] : static_cast<SlotId>(i);
}

void check_records(const HostRecords& records, const RecordLayout& layout) {
  CHECK(records.stride >= layout.record_bytes());
  CHECK(records.piece_shift >= 0 && records.piece_shift <= 31);
}

}  // namespace

void CpuBackend::generate_rows(Stream& stream, const RowArena& arena, const RowId* rows,
                               const SlotId* slots, std::int64_t count, const RowInit& init) {
  check_arena(arena);
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(count, rows_per_task(arena.layout), [=](std::int64_t begin, std::int64_t end) {
      generate(arena, rows, slots, begin, end, init);
    });
  });
}

void CpuBackend::unpack_records(Stream& stream, const RowArena& arena, const HostRecords& records,
                                const SlotId* record_slots, const SlotId* slots,
                                std::int64_t count) {
  check_arena(arena);
  check_records(records, arena.layout);
  on(stream).enqueue([=](Scratch&) {
    const auto bytes = static_cast<std::int64_t>(arena.layout.record_bytes());
    const RowArrays arrays = row_arrays(arena);
    parallel_chunks(count, rows_per_copy(arena.layout), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (const std::int64_t ahead = i + kCopiedRowsAhead; ahead < end) {
          const SlotId record = listed(record_slots, ahead);
          if (record != kNoSlot) prefetch_bytes(records.record(record), bytes);
        }
        const SlotId record = listed(record_slots, i);
        if (record == kNoSlot || slots[i] == kNoSlot) continue;
        unpack_row(arena, arrays, records.record(record), slots[i]);
      }
    });
  });
}

void CpuBackend::pack_records(Stream& stream, const RowArena& arena, const HostRecords& records,
                              const SlotId* record_slots, const SlotId* slots, std::int64_t count) {
  check_arena(arena);
  check_records(records, arena.layout);
  on(stream).enqueue([=](Scratch&) {
    const RowArrays arrays = row_arrays(arena);
    parallel_chunks(count, rows_per_copy(arena.layout), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (i + kCopiedRowsAhead < end) prefetch_arrays(arrays, slots[i + kCopiedRowsAhead]);
        const SlotId record = listed(record_slots, i);
        if (record == kNoSlot || slots[i] == kNoSlot) continue;
        pack_row(arena, arrays, records.record(record), slots[i]);
      }
    });
  });
}

void CpuBackend::copy_rows(Stream& stream, const RowArena& source, const SlotId* from,
                           const RowArena& target, const SlotId* to, std::int64_t count) {
  check_arena(source);
  check_arena(target);
  CHECK(source.layout == target.layout);
  on(stream).enqueue([=](Scratch&) {
    const RowArrays in = row_arrays(source), out = row_arrays(target);
    parallel_chunks(count, rows_per_task(source.layout), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (i + kCopiedRowsAhead < end) prefetch_arrays(in, from[i + kCopiedRowsAhead]);
        if (from[i] != kNoSlot) copy_row(source, in, from[i], target, out, listed(to, i));
      }
    });
  });
}

void CpuBackend::read_values(Stream& stream, const RowArena& arena, int part, const SlotId* slots,
                             std::int64_t count, float* out) {
  check_part(arena, part);
  const ArenaPart read(arena, part);
  on(stream).enqueue([=](Scratch&) {
    const std::int64_t width = read.width();
    parallel_chunks(count, rows_per_chunk(width * 4), [=](std::int64_t begin, std::int64_t end) {
      with_float_type(read.layout.value_type, [=](auto type) {
        using Value = decltype(type);
        vectorised([=]() MNEME_VECTORISE {
          for (std::int64_t i = begin; i < end; ++i) {
            const Value* row = row_of<const Value>(read.arrays.values, slots[i], width);
            for (std::int64_t c = 0; c < width; ++c) out[i * width + c] = load_scalar(row + c);
          }
        });
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
