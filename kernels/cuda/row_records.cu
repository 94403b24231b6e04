// Operations on whole rows of the CUDA backend: initial values, records, copies between slots. A
// warp a row.
//
// Records lie in pinned host memory and are read and written where they are: the bytes cross the
// bus once and need no staging buffer. A block takes part of one multiprocessor and there are no
// more blocks than CudaOptions::transfer_multiprocessors, so that the others are left to other
// streams. A block has 32 warps whose lanes have four loads of 16 bytes under way each: 64 KiB. Two
// blocks keep the 128 KiB under way that 64 GB/s and 2 us ask for; the others make up for rows that
// begin and end, for lists in host memory, and for latency that grows with the load on the bus.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/record_units.h"
#include "kernels/cuda/row_bytes.h"
#include "kernels/cuda/row_columns.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cuda {
namespace {

// Counter word 3 of the generator: each use of random numbers has its own, so that none repeats.
constexpr std::uint32_t kInitialValues = 0x6d6e656d;

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = kThreads / kWarp;
// Named, so that the compiler spends registers on reads under way.
constexpr int kResidentBlocks = 4;
constexpr int kBusThreads = 1024;  // of operations that the bus limits
constexpr int kBusRows = kBusThreads / kWarp;

__device__ __forceinline__ int lane_index() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
// The first row of the warp, and how far it is to its next.
__device__ __forceinline__ std::int64_t first_row() {
  return (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
}
__device__ __forceinline__ std::int64_t row_step() {
  return std::int64_t{gridDim.x} * (blockDim.x / kWarp);
}
// Entry i of a list of slots; without a list they are 0, 1, 2, ...
__device__ __forceinline__ SlotId listed(const SlotId* slots, std::int64_t i) {
  return slots != nullptr ? slots[i] : static_cast<SlotId>(i);
}

// ---- initial values ----

template <bool kWhole>
__device__ __forceinline__ void store_initial(float* p, std::int64_t columns,
                                              const float (&x)[kQuad]) {
  store_quad<kWhole>(p, columns, x);
}
template <bool kWhole>
__device__ __forceinline__ void store_initial(Bf16* p, std::int64_t columns,
                                              const float (&x)[kQuad]) {
  const std::uint16_t bits[kQuad] = {float_to_bf16(x[0]), float_to_bf16(x[1]), float_to_bf16(x[2]),
                                     float_to_bf16(x[3])};
  store_quad<kWhole>(p, columns, bits);
}

// Random columns 4b .. 4b + 3 come from block b of the row's generator. Nothing here is a product
// that is added to, but for the explicit fused ones: compilers have nothing to contract, and the
// bits are those of every backend.
template <bool kWhole, typename Value>
__device__ __forceinline__ void generate_row(Value* out, std::int64_t width, RowId row,
                                             const RowInit& init, float deviation,
                                             std::uint32_t first_block, int lane) {
  for (std::int64_t column = lane * kQuad; column < width; column += kWarp * kQuad) {
    const auto block = first_block + static_cast<std::uint32_t>(column / kQuad);
    const PhiloxBlock random = philox4x32_10({{block, row, init.table, kInitialValues}},
                                             static_cast<std::uint32_t>(init.seed),
                                             static_cast<std::uint32_t>(init.seed >> 32));
    const NormalPair a = normal_pair(random.v[0], random.v[1]);
    const NormalPair b = normal_pair(random.v[2], random.v[3]);
    const float x[kQuad] = {a.first * deviation, a.second * deviation, b.first * deviation,
                            b.second * deviation};
    store_initial<kWhole>(out + column, width - column, x);
  }
}

// The values of one part.
template <typename Value, bool kWhole>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    generate_values_kernel(Value* values, const RowId* rows, const SlotId* slots,
                           std::int64_t count, RowInit init, float deviation,
                           std::uint32_t random_column, std::int64_t width) {
  const int lane = lane_index();
  for (std::int64_t i = first_row(); i < count; i += row_step()) {
    generate_row<kWhole>(values + std::int64_t{slots[i]} * width, width, rows[i], init, deviation,
                         random_column / kQuad, lane);
  }
}

// Zeros in the arrays whose bit is set, and in the heads.
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    clear_rows_kernel(const __grid_constant__ RowBytes arena, const SlotId* slots,
                      std::int64_t count, std::uint32_t arrays) {
  const int lane = lane_index();
  for (std::int64_t i = first_row(); i < count; i += row_step()) {
    const SlotId slot = slots[i];
    for (int a = 0; a < arena.rows.count; ++a) {
      if ((arrays >> a & 1u) == 0) continue;
      const RowArray& array = arena.rows.arrays[a];
      zero_bytes(row_of(array, slot), array.bytes, lane);
    }
    if (lane == 0) set_head(arena, slot, make_uint4(0, 0, 0, 0));
  }
}

// ---- records ----

// Without whole units: array by array.
__device__ __forceinline__ void unpack_parts(const RowBytes& arena, const std::byte* record,
                                             SlotId slot, int lane) {
  for (int i = 0; i < arena.rows.count; ++i) {
    const RowArray& array = arena.rows.arrays[i];
    copy_bytes(row_of(array, slot), record + array.offset, array.bytes, lane);
  }
  if (lane != 0) return;
  const auto* words = reinterpret_cast<const std::uint32_t*>(record);
  set_head(arena, slot, make_uint4(words[0], words[1], words[2], words[3]));
}

// Padding becomes zero: equal rows are equal records.
__device__ __forceinline__ void pack_parts(const RowBytes& arena, std::byte* record, SlotId slot,
                                           int lane) {
  if (lane == 0) {
    const uint4 head = head_of(arena, slot);
    auto* words = reinterpret_cast<std::uint32_t*>(record);
    words[0] = head.x, words[1] = head.y, words[2] = head.z, words[3] = head.w;
    for (int i = 4; i < static_cast<int>(RecordLayout::kHeadBytes) / 4; ++i) words[i] = 0;
  }
  for (int i = 0; i < arena.rows.count; ++i) {
    const RowArray& array = arena.rows.arrays[i];
    std::byte* const target = record + array.offset;
    copy_bytes(target, row_of(array, slot), array.bytes, lane);
    zero_bytes(target + array.bytes, (32 - array.bytes % 32) % 32, lane);
  }
}

// kPack: from the arena to the records, else from the records to the arena.
template <bool kPack, bool kWholeUnits>
__global__ void __launch_bounds__(kBusThreads, 1)
    move_records_kernel(const __grid_constant__ RowBytes arena,
                        const __grid_constant__ HostRecords records, const SlotId* record_slots,
                        const SlotId* slots, std::int64_t count) {
  const int lane = lane_index();
  for (std::int64_t i = first_row(); i < count; i += row_step()) {
    const SlotId record_slot = listed(record_slots, i), slot = slots[i];
    if (record_slot == kNoSlot || slot == kNoSlot) continue;
    std::byte* const record = records.record(record_slot);
    if constexpr (kPack && kWholeUnits) pack_units(arena, record, slot, lane);
    if constexpr (kPack && !kWholeUnits) pack_parts(arena, record, slot, lane);
    if constexpr (!kPack && kWholeUnits) unpack_units(arena, record, slot, lane);
    if constexpr (!kPack && !kWholeUnits) unpack_parts(arena, record, slot, lane);
  }
}

// ---- copies ----

__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    copy_rows_kernel(const __grid_constant__ RowBytes source, const SlotId* from,
                     const __grid_constant__ RowBytes target, const SlotId* to,
                     std::int64_t count) {
  const int lane = lane_index();
  for (std::int64_t i = first_row(); i < count; i += row_step()) {
    const SlotId in = from[i], out = listed(to, i);
    if (in == kNoSlot) continue;
    for (int a = 0; a < source.rows.count; ++a) {
      copy_bytes(row_of(target.rows.arrays[a], out), row_of(source.rows.arrays[a], in),
                 source.rows.arrays[a].bytes, lane);
    }
    if (lane == 0) set_head(target, out, head_of(source, in));
  }
}

template <typename Value, bool kWhole>
__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    read_values_kernel(const Value* values, const SlotId* slots, std::int64_t count,
                       std::int64_t width, float* out) {
  const int lane = lane_index();
  for (std::int64_t i = first_row(); i < count; i += row_step()) {
    const Value* row = values + std::int64_t{slots[i]} * width;
#pragma unroll 4
    for (std::int64_t column = lane * kQuad; column < width; column += kWarp * kQuad) {
      float x[kQuad] = {};
      stream_quad<kWhole>(row + column, width - column, x);
      store_quad<kWhole>(out + i * width + column, width - column, x);
    }
  }
}

Grid row_grid(std::int64_t count) {
  return {std::min<std::int64_t>(blocks_for(count, kRowsPerBlock), 1 << 20), kThreads};
}

// At most `blocks` blocks.
template <bool kPack>
void move_records(Operation& operation, const RowArena& arena, const HostRecords& records,
                  const SlotId* record_slots, const SlotId* slots, std::int64_t count,
                  std::int64_t blocks) {
  const RowBytes bytes = row_bytes(arena);
  CHECK(count >= 0 && records.stride >= arena.layout.record_bytes());
  CHECK(records.piece_shift >= 0 && records.piece_shift <= 31);
  const Grid grid{std::min(blocks_for(count, kBusRows), blocks), kBusThreads};
  with_bool(has_whole_units(bytes, records), [&](auto whole) {
    operation.launch(grid, move_records_kernel<kPack, decltype(whole)::value>, bytes, records,
                     record_slots, slots, count);
  });
}

}  // namespace

void CudaBackend::generate_rows(Stream& stream, const RowArena& arena, const RowId* rows,
                                const SlotId* slots, std::int64_t count, const RowInit& init) {
  const RowBytes bytes = row_bytes(arena);
  CHECK(count >= 0);
  Operation operation(stream, "generate_rows");
  std::uint32_t zeroed = ~0u;  // all arrays but those of values
  for (int i = 0, array = 0; i < arena.layout.part_count; ++i) {
    const ArenaPart part(arena, i);
    zeroed &= ~(1u << array);
    array += 1 + 2 * part.layout.moments + part.layout.gradient;
    const bool whole = part.width() % kQuad == 0 && is_aligned(part.arrays.values, 16);
    with_float_type(part.layout.value_type, [&](auto type) {
      using Value = decltype(type);
      with_bool(whole, [&](auto is_whole) {
        operation.launch(row_grid(count), generate_values_kernel<Value, decltype(is_whole)::value>,
                         static_cast<Value*>(part.arrays.values), rows, slots, count, init,
                         init.standard_deviation[i], part.random_column, part.width());
      });
    });
  }
  operation.launch(row_grid(count), clear_rows_kernel, bytes, slots, count, zeroed);
}

void CudaBackend::unpack_records(Stream& stream, const RowArena& arena, const HostRecords& records,
                                 const SlotId* record_slots, const SlotId* slots,
                                 std::int64_t count) {
  Operation operation(stream, "unpack_records");
  move_records<false>(operation, arena, records, record_slots, slots, count,
                      transfer_multiprocessors_);
}

void CudaBackend::pack_records(Stream& stream, const RowArena& arena, const HostRecords& records,
                               const SlotId* record_slots, const SlotId* slots,
                               std::int64_t count) {
  Operation operation(stream, "pack_records");
  move_records<true>(operation, arena, records, record_slots, slots, count,
                     transfer_multiprocessors_);
}

void CudaBackend::copy_rows(Stream& stream, const RowArena& source, const SlotId* from,
                            const RowArena& target, const SlotId* to, std::int64_t count) {
  CHECK(source.layout == target.layout && count >= 0);
  Operation operation(stream, "copy_rows");
  operation.launch(row_grid(count), copy_rows_kernel, row_bytes(source), from, row_bytes(target),
                   to, count);
}

void CudaBackend::read_values(Stream& stream, const RowArena& arena, int part, const SlotId* slots,
                              std::int64_t count, float* out) {
  check_part(arena, part);
  CHECK(count >= 0);
  Operation operation(stream, "read_values");
  const ArenaPart read(arena, part);
  const bool whole =
      read.width() % kQuad == 0 && is_aligned(read.arrays.values, 16) && is_aligned(out, 16);
  with_float_type(read.layout.value_type, [&](auto type) {
    using Value = decltype(type);
    with_bool(whole, [&](auto is_whole) {
      operation.launch(row_grid(count), read_values_kernel<Value, decltype(is_whole)::value>,
                       static_cast<const Value*>(read.arrays.values), slots, count, read.width(),
                       out);
    });
  });
}

}  // namespace mneme::kernels::cuda
