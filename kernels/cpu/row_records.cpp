// Operations on whole rows of the CPU backend: initial values, records, copies between slots.
#include <algorithm>
#include <cstring>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"

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
  CHECK(arena.layout.width >= 1);
  CHECK(arena.values != nullptr && arena.last_step != nullptr);
  CHECK(!arena.layout.moments || (arena.moment1 != nullptr && arena.moment2 != nullptr));
  CHECK(!arena.layout.row_state || arena.row_state != nullptr);
}

MNEME_INLINE void store_initial(float* p, float x) {
  *p = x;
}
MNEME_INLINE void store_initial(Bf16* p, float x) {
  p->bits = float_to_bf16(x);
}

// Columns 4b .. 4b + 3 come from block b of the row's generator. The generator fills a buffer of
// planes first, so that its rounds run on whole vectors.
constexpr std::int64_t kBlocks = 64;

MNEME_INLINE void generate_blocks(RowId row, const RowInit& init, std::int64_t first_block,
                                  float (&planes)[4][kBlocks]) {
  const auto key0 = static_cast<std::uint32_t>(init.seed);
  const auto key1 = static_cast<std::uint32_t>(init.seed >> 32);
#pragma omp simd
  for (std::int64_t i = 0; i < kBlocks; ++i) {
    const auto block = static_cast<std::uint32_t>(first_block + i);
    const PhiloxBlock random =
        philox4x32_10({{block, row, init.table, kInitialValues}}, key0, key1);
    const NormalPair a = normal_pair(random.v[0], random.v[1]);
    const NormalPair b = normal_pair(random.v[2], random.v[3]);
    planes[0][i] = a.first * init.standard_deviation;
    planes[1][i] = a.second * init.standard_deviation;
    planes[2][i] = b.first * init.standard_deviation;
    planes[3][i] = b.second * init.standard_deviation;
  }
}

template <typename Value>
MNEME_INLINE void generate_row(Value* out, std::int64_t width, RowId row, const RowInit& init) {
  float planes[4][kBlocks];
  for (std::int64_t column = 0; column < width; column += 4 * kBlocks) {
    generate_blocks(row, init, column / 4, planes);
    const std::int64_t count = std::min(4 * kBlocks, width - column);
    for (std::int64_t c = 0; c < count; ++c) store_initial(out + column + c, planes[c % 4][c / 4]);
  }
}

void generate(const RowArena& arena, const RowId* rows, const SlotId* slots, std::int64_t begin,
              std::int64_t end, const RowInit& init) {
  const auto width = static_cast<std::int64_t>(arena.layout.width);
  const std::size_t moment_bytes = arena.layout.moment_bytes();
  with_float_type(arena.layout.value_type, [=](auto type) {
    using Value = decltype(type);
    vectorised([=]() MNEME_VECTORISE {
      for (std::int64_t i = begin; i < end; ++i) {
        generate_row(row_of<Value>(arena.values, slots[i], width), width, rows[i], init);
      }
    });
  });
  for (std::int64_t i = begin; i < end; ++i) {
    if (arena.layout.moments) {
      std::memset(bytes_of(arena.moment1, slots[i], moment_bytes), 0, moment_bytes);
      std::memset(bytes_of(arena.moment2, slots[i], moment_bytes), 0, moment_bytes);
    }
    if (arena.layout.row_state) arena.row_state[slots[i]] = 0;
    arena.last_step[slots[i]] = 0;
  }
}

void unpack_row(const RowArena& arena, const std::byte* record, SlotId slot) {
  const RecordLayout& layout = arena.layout;
  std::memcpy(&arena.last_step[slot], record, 4);
  if (layout.row_state) std::memcpy(&arena.row_state[slot], record + 4, 4);
  std::memcpy(bytes_of(arena.values, slot, layout.value_bytes()), record + layout.value_offset(),
              layout.value_bytes());
  if (!layout.moments) return;
  std::memcpy(bytes_of(arena.moment1, slot, layout.moment_bytes()),
              record + layout.moment1_offset(), layout.moment_bytes());
  std::memcpy(bytes_of(arena.moment2, slot, layout.moment_bytes()),
              record + layout.moment2_offset(), layout.moment_bytes());
}

// Copies one array's row and zeroes the padding behind it: equal rows are equal records.
void pack_part(std::byte* record, std::size_t offset, const std::byte* source, std::size_t bytes) {
  std::memcpy(record + offset, source, bytes);
  std::memset(record + offset + bytes, 0, RecordLayout::align32(bytes) - bytes);
}

void pack_row(const RowArena& arena, std::byte* record, SlotId slot) {
  const RecordLayout& layout = arena.layout;
  std::memset(record, 0, layout.value_offset());
  std::memcpy(record, &arena.last_step[slot], 4);
  if (layout.row_state) std::memcpy(record + 4, &arena.row_state[slot], 4);
  pack_part(record, layout.value_offset(), bytes_of(arena.values, slot, layout.value_bytes()),
            layout.value_bytes());
  if (!layout.moments) return;
  pack_part(record, layout.moment1_offset(), bytes_of(arena.moment1, slot, layout.moment_bytes()),
            layout.moment_bytes());
  pack_part(record, layout.moment2_offset(), bytes_of(arena.moment2, slot, layout.moment_bytes()),
            layout.moment_bytes());
}

void copy_row(const RowArena& source, SlotId from, const RowArena& target, SlotId to) {
  const RecordLayout& layout = source.layout;
  target.last_step[to] = source.last_step[from];
  if (layout.row_state) target.row_state[to] = source.row_state[from];
  std::memcpy(bytes_of(target.values, to, layout.value_bytes()),
              bytes_of(source.values, from, layout.value_bytes()), layout.value_bytes());
  if (!layout.moments) return;
  std::memcpy(bytes_of(target.moment1, to, layout.moment_bytes()),
              bytes_of(source.moment1, from, layout.moment_bytes()), layout.moment_bytes());
  std::memcpy(bytes_of(target.moment2, to, layout.moment_bytes()),
              bytes_of(source.moment2, from, layout.moment_bytes()), layout.moment_bytes());
}

// How many rows ahead the copies touch memory, so that several rows are in flight.
constexpr std::int64_t kCopiedRowsAhead = 4;

void prefetch_row(const RowArena& arena, SlotId slot) {
  if (slot == kNoSlot) return;
  const RecordLayout& layout = arena.layout;
  const auto value_bytes = static_cast<std::int64_t>(layout.value_bytes());
  const auto moment_bytes = static_cast<std::int64_t>(layout.moment_bytes());
  prefetch_bytes(bytes_of(arena.values, slot, layout.value_bytes()), value_bytes);
  if (!layout.moments) return;
  prefetch_bytes(bytes_of(arena.moment1, slot, layout.moment_bytes()), moment_bytes);
  prefetch_bytes(bytes_of(arena.moment2, slot, layout.moment_bytes()), moment_bytes);
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
    parallel_chunks(count, rows_per_copy(arena.layout), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (const std::int64_t ahead = i + kCopiedRowsAhead; ahead < end) {
          const SlotId record = listed(record_slots, ahead);
          if (record != kNoSlot) prefetch_bytes(records.record(record), bytes);
        }
        const SlotId record = listed(record_slots, i);
        if (record == kNoSlot || slots[i] == kNoSlot) continue;
        unpack_row(arena, records.record(record), slots[i]);
      }
    });
  });
}

void CpuBackend::pack_records(Stream& stream, const RowArena& arena, const HostRecords& records,
                              const SlotId* record_slots, const SlotId* slots, std::int64_t count) {
  check_arena(arena);
  check_records(records, arena.layout);
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(count, rows_per_copy(arena.layout), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (i + kCopiedRowsAhead < end) prefetch_row(arena, slots[i + kCopiedRowsAhead]);
        const SlotId record = listed(record_slots, i);
        if (record == kNoSlot || slots[i] == kNoSlot) continue;
        pack_row(arena, records.record(record), slots[i]);
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
    parallel_chunks(count, rows_per_task(source.layout), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (i + kCopiedRowsAhead < end) prefetch_row(source, from[i + kCopiedRowsAhead]);
        if (from[i] != kNoSlot) copy_row(source, from[i], target, listed(to, i));
      }
    });
  });
}

void CpuBackend::read_values(Stream& stream, const RowArena& arena, const SlotId* slots,
                             std::int64_t count, float* out) {
  CHECK(arena.layout.width >= 1 && arena.values != nullptr);
  on(stream).enqueue([=](Scratch&) {
    const auto width = static_cast<std::int64_t>(arena.layout.width);
    parallel_chunks(count, rows_per_chunk(width * 4), [=](std::int64_t begin, std::int64_t end) {
      with_float_type(arena.layout.value_type, [=](auto type) {
        using Value = decltype(type);
        vectorised([=]() MNEME_VECTORISE {
          for (std::int64_t i = begin; i < end; ++i) {
            const Value* row = row_of<const Value>(arena.values, slots[i], width);
            for (std::int64_t c = 0; c < width; ++c) out[i * width + c] = load_scalar(row + c);
          }
        });
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
