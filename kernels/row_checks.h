// What backends check of the arguments of row operations before they queue work.
#pragma once

#include "io/check.h"
#include "kernels/row_ops.h"

namespace mneme::kernels {

inline bool is_adamw(RowOptimizerKind kind) {
  return kind == RowOptimizerKind::kAdamW || kind == RowOptimizerKind::kAdamWLazy;
}

inline void check_part(const RowArena& arena, int part) {
  CHECK(arena.is_complete() && part >= 0 && part < arena.layout.part_count);
}

inline void check_gradient(const RowGradient& gradient) {
  CHECK(gradient.grouped.lookups_per_token >= 1 && gradient.grouped.offsets != nullptr &&
        gradient.grouped.order != nullptr);
  CHECK(gradient.part_count >= 1 && gradient.part_count <= kMaxRowParts);
  for (int i = 0; i < gradient.part_count; ++i) CHECK(gradient.parts[i].columns.is_valid());
}

inline void check_accumulate(const RowArena& arena, const AccumulateArgs& args) {
  check_gradient(args.gradient);
  CHECK(arena.is_complete() && args.gradient.part_count == arena.layout.part_count);
  CHECK(args.first >= 0 && args.count >= 0 && args.is_first != nullptr);
  for (int i = 0; i < arena.layout.part_count; ++i) {
    const PartLayout& part = arena.layout.parts[i];
    CHECK(part.gradient && args.gradient.parts[i].columns == part.columns);
  }
}

inline void check_update(const RowArena& arena, const RowGradient& gradient,
                         const RowUpdateArgs& args) {
  check_gradient(gradient);
  CHECK(arena.is_complete() && gradient.part_count == arena.layout.part_count);
  CHECK(args.step >= 1 && args.step < std::uint64_t{1} << 32);
  for (int i = 0; i < arena.layout.part_count; ++i) {
    const PartLayout& part = arena.layout.parts[i];
    CHECK(gradient.parts[i].columns == part.columns);
    CHECK(!is_adamw(args.kind) || part.moments);
    CHECK(args.kind != RowOptimizerKind::kAdagradRowwise ||
          (part.sum && (part.columns.is_all() || args.row_square_norms != nullptr)));
  }
}

inline void check_catch_up(const RowArena& arena, const CatchUpArgs& args) {
  CHECK(arena.is_complete());
  for (int i = 0; i < arena.layout.part_count; ++i) CHECK(arena.layout.parts[i].moments);
  CHECK(args.target_step < std::uint64_t{1} << 32);
  CHECK(args.target_step == 0 ||
        (args.entries != nullptr && args.learning_rates != nullptr && args.log_decay != nullptr &&
         args.moment_decay != nullptr && args.window >= 1));
}

}  // namespace mneme::kernels
