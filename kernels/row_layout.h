// What a row of a value table consists of, as one contiguous record (host tier and disk) and as
// arrays by slot (device).
//
//   row     one or more parts, and the step that it is current for
//   part    a vector of values, each element with its two moments where the optimiser has them and
//           with its gradient where a step adds that up row by row (row_ops.h,
//           accumulate_gradient), and one sum for the whole vector where the optimiser has that. A
//           memory layer's rows have one part; PEER's have two, u and v
//   range   the columns of a part that a record holds: all of them, or those of one rank
//
// A record: 32 bytes of head (last step u32, sum of part 0 f32, lag of the moments u32, sum of part
// 1 f32, zeros), then for each part value, moment1, moment2, gradient, each at a multiple of 32
// bytes. A gradient means something while a step runs only: what a checkpoint has of it is left
// over.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/float_type.h"
#include "kernels/key_ops.h"

namespace mneme::kernels {

inline constexpr int kMaxRowParts = 2;

// Neighbouring columns [first, first + count) of vectors of `total` columns.
//
// Sums over a vector's columns are sums of groups (docs/SPEC.md, "Sums over columns"): 8 groups of
// total / 8 columns where 64 divides total, else one. Each group is summed in an order that depends
// on its width alone, then the groups as a tree of neighbours. A range is 1, 2, 4 or 8 of the
// groups, beginning at a multiple of their number, so that its sum is a subtree of that tree:
// ranges' sums, added up as the tree goes on, have the bits of the sum over all columns.
struct ColumnRange {
  std::uint32_t first = 0, count = 0, total = 0;

  static constexpr ColumnRange all(std::uint32_t total) { return {0, total, total}; }
  constexpr std::uint32_t all_groups() const { return total % 64 == 0 ? 8 : 1; }
  constexpr std::uint32_t group_width() const { return total / all_groups(); }
  constexpr std::uint32_t groups() const { return count / group_width(); }
  constexpr bool is_all() const { return count == total; }
  constexpr bool is_valid() const {
    if (total == 0 || count == 0 || count % group_width() != 0) return false;
    const std::uint32_t n = groups();
    return (n & (n - 1)) == 0 && first % count == 0 && std::uint64_t{first} + count <= total;
  }
  bool operator==(const ColumnRange&) const = default;
};

struct PartLayout {
  ColumnRange columns;
  FloatType value_type = FloatType::kF32;
  FloatType moment_type = FloatType::kF32;
  bool moments = true;  // adamw, adamw-lazy
  bool sum = false;     // adagrad-rowwise: the accumulator
  bool gradient = false;

  constexpr std::size_t value_bytes() const {
    return std::size_t{columns.count} * float_type_bytes(value_type);
  }
  constexpr std::size_t moment_bytes() const {
    return moments ? std::size_t{columns.count} * float_type_bytes(moment_type) : 0;
  }
  constexpr std::size_t gradient_bytes() const {
    return gradient ? std::size_t{columns.count} * sizeof(float) : 0;
  }
  bool operator==(const PartLayout&) const = default;
};

struct RecordLayout {
  PartLayout parts[kMaxRowParts];
  int part_count = 1;

  static constexpr std::size_t kHeadBytes = 32;
  static constexpr std::size_t align32(std::size_t bytes) { return (bytes + 31) / 32 * 32; }
  static constexpr RecordLayout of(const PartLayout& part) { return {{part, {}}, 1}; }

  constexpr std::size_t value_offset(int part = 0) const {
    std::size_t offset = kHeadBytes;
    for (int i = 0; i < part; ++i) {
      offset += align32(parts[i].value_bytes()) + 2 * align32(parts[i].moment_bytes()) +
                align32(parts[i].gradient_bytes());
    }
    return offset;
  }
  constexpr std::size_t moment1_offset(int part = 0) const {
    return value_offset(part) + align32(parts[part].value_bytes());
  }
  constexpr std::size_t moment2_offset(int part = 0) const {
    return moment1_offset(part) + align32(parts[part].moment_bytes());
  }
  constexpr std::size_t gradient_offset(int part = 0) const {
    return moment2_offset(part) + align32(parts[part].moment_bytes());
  }
  constexpr std::size_t record_bytes() const { return value_offset(part_count); }
  // Of all parts.
  constexpr std::size_t value_bytes() const {
    std::size_t bytes = 0;
    for (int i = 0; i < part_count; ++i) bytes += parts[i].value_bytes();
    return bytes;
  }
  constexpr bool has_moments() const {
    bool any = false;
    for (int i = 0; i < part_count; ++i) any = any || parts[i].moments;
    return any;
  }
  constexpr bool is_valid() const {
    bool valid = part_count >= 1 && part_count <= kMaxRowParts;
    for (int i = 0; valid && i < part_count; ++i) valid = parts[i].columns.is_valid();
    return valid;
  }
  bool operator==(const RecordLayout&) const = default;
};

// The column that random numbers of a part's first column are drawn for: initial values and
// rounding are functions of it, so that neither the split into ranges nor the other part matters.
// Each part has columns of its own; of a valid range it is a multiple of 4.
inline constexpr std::uint32_t kPartRandomColumns = std::uint32_t{1} << 24;
constexpr std::uint32_t random_column(int part, const PartLayout& layout) {
  return static_cast<std::uint32_t>(part) * kPartRandomColumns + layout.columns.first;
}

// The arrays of one part, by slot; row `slot` starts at element slot * columns.count. Null: the
// layout has none.
struct PartArrays {
  void* values = nullptr;     // [slots, columns] of value_type
  void* moment1 = nullptr;    // [slots, columns] of moment_type
  void* moment2 = nullptr;    // [slots, columns] of moment_type
  float* gradient = nullptr;  // [slots, columns]
  float* sums = nullptr;      // [slots]
};

// Rows as structure of arrays, by slot.
struct RowArena {
  RecordLayout layout;
  PartArrays parts[kMaxRowParts];
  std::uint32_t* last_step = nullptr;  // [slots]: the step that the values are current for
  // [slots]: how many steps the moments are behind the values: they are current for the step
  // last_step - moment_lag, and decay when the row is next updated. Null: no part has moments.
  std::uint32_t* moment_lag = nullptr;

  // Whether the arrays are there that the layout speaks of.
  bool is_complete() const {
    bool complete = layout.is_valid() && last_step != nullptr &&
                    (!layout.has_moments() || moment_lag != nullptr);
    for (int i = 0; complete && i < layout.part_count; ++i) {
      const PartLayout& part = layout.parts[i];
      complete = parts[i].values != nullptr && (!part.sum || parts[i].sums != nullptr) &&
                 (!part.gradient || parts[i].gradient != nullptr) &&
                 (!part.moments || (parts[i].moment1 != nullptr && parts[i].moment2 != nullptr));
    }
    return complete;
  }
};

// One part of an arena's rows.
struct ArenaPart {
  PartArrays arrays;
  PartLayout layout;
  std::uint32_t random_column;  // of the first column

  ArenaPart(const RowArena& arena, int part)
      : arrays(arena.parts[part]),
        layout(arena.layout.parts[part]),
        random_column(kernels::random_column(part, arena.layout.parts[part])) {}
  std::int64_t width() const { return layout.columns.count; }
};

// One of an arena's arrays: the bytes of its row in a slot, and where they lie in a record.
struct RowArray {
  std::byte* base = nullptr;
  std::uint32_t bytes = 0, offset = 0;
};
// All of them, in the order of a record.
inline constexpr int kMaxRowArrays = 4 * kMaxRowParts;
struct RowArrays {
  RowArray arrays[kMaxRowArrays];
  int count = 0;
};
inline RowArrays row_arrays(const RowArena& arena) {
  RowArrays all;
  const auto add = [&all](void* base, std::size_t bytes, std::size_t offset) {
    all.arrays[all.count++] = {static_cast<std::byte*>(base), static_cast<std::uint32_t>(bytes),
                               static_cast<std::uint32_t>(offset)};
  };
  for (int i = 0; i < arena.layout.part_count; ++i) {
    const PartLayout& layout = arena.layout.parts[i];
    add(arena.parts[i].values, layout.value_bytes(), arena.layout.value_offset(i));
    if (layout.moments) {
      add(arena.parts[i].moment1, layout.moment_bytes(), arena.layout.moment1_offset(i));
      add(arena.parts[i].moment2, layout.moment_bytes(), arena.layout.moment2_offset(i));
    }
    if (layout.gradient) {
      add(arena.parts[i].gradient, layout.gradient_bytes(), arena.layout.gradient_offset(i));
    }
  }
  return all;
}

}  // namespace mneme::kernels
