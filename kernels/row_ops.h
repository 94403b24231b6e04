// Operations on rows of a value table: the third part of the Backend interface.
//
//   lookup          one (token, head, j): token t has `lookups_per_token` of them, with the indices
//                   l = t * lookups_per_token + position
//   distinct rows   the rows of all lookups of a call or step, each once, ascending
//   chunk           a range [first, first + count) of the distinct rows, all of them resident:
//                   slots[i] is the slot of distinct row first + i
//
// All sums over lookups run in ascending row order (ties: ascending lookup index), one after the
// other, so that splitting the rows into chunks never changes a bit of the result. Sums over
// columns run by column groups (row_layout.h); everything else depends on its element alone, so
// that splitting the columns into ranges never changes one either.
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/enum_names.h"
#include "kernels/float_type.h"
#include "kernels/key_ops.h"
#include "kernels/location.h"
#include "kernels/memory.h"
#include "kernels/row_layout.h"

namespace mneme::kernels {

enum class RowOptimizerKind : std::uint8_t { kAdamW, kAdamWLazy, kAdagradRowwise, kSgd };
constexpr auto enum_names(RowOptimizerKind) {
  return std::to_array<io::EnumName<RowOptimizerKind>>(
      {{"adamw", RowOptimizerKind::kAdamW},
       {"adamw-lazy", RowOptimizerKind::kAdamWLazy},
       {"adagrad-rowwise", RowOptimizerKind::kAdagradRowwise},
       {"sgd", RowOptimizerKind::kSgd}});
}

// Lookups grouped by row. Buffers are device memory of the sizes given, filled by group_lookups.
struct GroupedLookups {
  const RowId* rows = nullptr;  // [lookups], input
  std::int64_t lookups = 0;     // tokens * lookups_per_token; may exceed 2^31 in sum over a step
  std::int64_t lookups_per_token = 0;
  std::uint64_t table_rows = std::uint64_t{1} << 32;  // rows are below this; fewer sort faster
  RowId* unique_rows = nullptr;      // [lookups]: distinct rows, ascending; the first count used
  std::uint32_t* offsets = nullptr;  // [lookups + 1]: where a distinct row's lookups start in order
  std::uint32_t* order = nullptr;    // [lookups]: lookup indices sorted by (row, lookup index)
  std::uint32_t* unique_index = nullptr;  // [lookups]: lookup -> index of its row in unique_rows
  std::uint32_t* token_order = nullptr;  // [lookups]: per token its lookup indices sorted likewise;
                                         // null when not wanted
  std::uint64_t* count = nullptr;        // [1] pinned host: number of distinct rows
};

// y[t] += sum over the token's lookups whose row is in the chunk of weight * value.
struct GatherArgs {
  int part = 0;                    // of the rows
  GroupedLookups grouped;          // with token_order
  const float* weights = nullptr;  // [lookups]
  const SlotId* slots = nullptr;   // [count]
  std::int64_t first = 0, count = 0;
  float* y = nullptr;  // [tokens, columns]
};

// d_weights[l] = <d_y[token of l], value> for the lookups whose row is in the chunk: the sum over
// the columns of the part's range.
struct LookupDotArgs {
  int part = 0;  // of the rows
  GroupedLookups grouped;
  const float* d_y = nullptr;  // [tokens, columns]
  const SlotId* slots = nullptr;
  std::int64_t first = 0, count = 0;
  float* d_weights = nullptr;  // [lookups]
};

// The gradient of one part of the rows in factored form: row i's gradient is the sum over its
// lookups of factor * vector of the lookup's token.
//
// Gradients that stand in the rows (accumulate_gradient) are given in the same form, as one lookup
// for each row: lookups_per_token is 1, lookups and tokens are the arena's slots, order is the list
// of the rows' slots, offsets count 0, 1, 2, ..., and the vectors are the arena's gradient array.
struct GradientPart {
  const float* factors = nullptr;  // [lookups]; null: 1
  const void* vectors = nullptr;   // [tokens, columns.count] of `type`
  FloatType type = FloatType::kF32;
  ColumnRange columns;
};
struct RowGradient {
  GroupedLookups grouped;
  GradientPart parts[kMaxRowParts];
  int part_count = 1;

  // Sums over columns that row_gradient_norms keeps apart.
  int groups() const {
    std::uint32_t all = 0;
    for (int i = 0; i < part_count; ++i) all += parts[i].columns.groups();
    return static_cast<int>(all);
  }
};

// Adds the gradients of a chunk of the rows to those that stand in the rows. The sums go on lookup
// by lookup, so that they have the bits of a sum over all lookups at once.
struct AccumulateArgs {
  RowGradient gradient;
  const SlotId* slots = nullptr;           // [count]
  const std::uint8_t* is_first = nullptr;  // [count]: 1 where what stands in the row counts as 0
  std::int64_t first = 0, count = 0;
};

// A set of rows of a table as bits, in device memory: row r is bit r % 32 of word r / 32.
struct RowMarks {
  std::uint32_t* words = nullptr;  // [word_count()]
  std::uint64_t table_rows = 0;
  constexpr std::int64_t word_count() const {
    return static_cast<std::int64_t>((table_rows + 31) / 32);
  }
};

// The missed steps of a row that is current for step l, up to the target step t, in closed form.
// SPEC.md's sum for one element is m D(l,t)/sqrt(v) * F(x) with x = epsilon/sqrt(v) and
//   F(x) = sum over s of eta_s/D(l,s) * (b1^(s-l)/(1-b1^s)) / (b_s + x),
//   b_s = sqrt(b2^(s-l) / (1 - b2^s)),
// which is smooth: F(x) = P(z)/Q(z) * scale to float32 accuracy for every z = x * scale >= 0, with
// one Q for all rows. P has one coefficient a term, lowest power first. CatchUpTable
// (catch_up_table.h) fills the entries; those of steps before t - window no longer change with t.
// m and v are the moments as of step l. What is stored may be older: it is decayed on the way.
inline constexpr int kCatchUpTerms = 12;
struct CatchUpEntry {
  float numerator[kCatchUpTerms] = {};
  float scale = 1;        // 1 / b_(l+1)
  float closed_form = 0;  // 1 when P/Q is exact to float32, 0 to take the sum element by element
  float padding[2] = {};  // to 64 bytes
};
// What moments become in a number of steps without a gradient, the array's index.
struct MomentDecay {
  float decay1 = 1, decay2 = 1;  // beta1^n, beta2^n
};
struct CatchUpArgs {
  RowOptimizerKind kind = RowOptimizerKind::kAdamW;  // others need no catch-up: no operation
  std::uint64_t target_step = 0;                     // rows become current for this step
  const CatchUpEntry* entries = nullptr;             // device, [target_step], index l
  const float* learning_rates = nullptr;             // device, [target_step + 1]: eta_s, index s
  const double* log_decay = nullptr;                 // device, [target_step + 1]: sum over s' <= s
                                                     // of log(1 - eta_s' * weight_decay)
  const MomentDecay* moment_decay = nullptr;         // device, [target_step + 1]
  float denominator[kCatchUpTerms + 1] = {};         // Q, lowest power first
  std::uint64_t window = 0;                          // later terms do not matter in float32
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  std::uint64_t seed = 0;  // stochastic rounding, with (step, row, column)
};

struct RowUpdateArgs {
  RowOptimizerKind kind = RowOptimizerKind::kAdamW;
  std::uint64_t step = 0;  // the step being taken, 1 for the first; becomes the rows' last step
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0;
  const float* grad_scale = nullptr;  // device, one float: the clip factor
  std::uint64_t seed = 0;
  // adamw: device, [step], for moments that are behind their values. Null: none are.
  const MomentDecay* moment_decay = nullptr;
  // adagrad-rowwise where a range is not all columns: device, [parts, count], the square norm of
  // each row's unscaled gradient over all columns.
  const float* row_square_norms = nullptr;
};

// The initial value of a row: Philox4x32-10 of (seed, table, row, column), normal, times std.
struct RowInit {
  std::uint64_t seed = 0;
  std::uint32_t table = 0;
  float standard_deviation[kMaxRowParts] = {};  // of each part
};

class RowOps {
 public:
  virtual ~RowOps() = default;

  // Sorts, groups, and writes *grouped.count (valid after the stream is synchronised).
  virtual void group_lookups(Stream& stream, const GroupedLookups& grouped) = 0;

  virtual void gather_rows(Stream& stream, const RowArena& arena, const GatherArgs& args) = 0;
  virtual void lookup_dot(Stream& stream, const RowArena& arena, const LookupDotArgs& args) = 0;
  // square_norms[g * count + i] = squared norm of the gradient of distinct row first + i, i <
  // count, over column group g of the range; the groups of part 1 follow those of part 0.
  virtual void row_gradient_norms(Stream& stream, const RowGradient& gradient, std::int64_t first,
                                  std::int64_t count, float* square_norms) = 0;
  // To the gradient arrays of the arena, all parts.
  virtual void accumulate_gradient(Stream& stream, const RowArena& arena,
                                   const AccumulateArgs& args) = 0;
  // Puts rows into the set. rows: [count], distinct, ascending. is_new: [count], 1 for those that
  // were not in it, else 0.
  virtual void mark_rows(Stream& stream, const RowMarks& marks, const RowId* rows,
                         std::int64_t count, std::uint8_t* is_new) = 0;
  // The rows of the set, ascending. rows: as many as there are; number: [1], pinned host.
  virtual void list_marked_rows(Stream& stream, const RowMarks& marks, RowId* rows,
                                std::uint64_t* number) = 0;
  // Optimiser step in place on the resident rows [first, first + count), all parts. Moments that
  // are behind are decayed first.
  virtual void update_rows(Stream& stream, const RowArena& arena, const SlotId* slots,
                           const RowGradient& gradient, std::int64_t first, std::int64_t count,
                           const RowUpdateArgs& args) = 0;
  // Brings the values of rows up to target_step and sets their last step. Moments stay as they are,
  // and fall behind. rows, slots: [count].
  virtual void catch_up_rows(Stream& stream, const RowArena& arena, const RowId* rows,
                             const SlotId* slots, std::int64_t count, const CatchUpArgs& args) = 0;

  // Fills slots with the rows' initial values, zero moments and last step 0.
  virtual void generate_rows(Stream& stream, const RowArena& arena, const RowId* rows,
                             const SlotId* slots, std::int64_t count, const RowInit& init) = 0;
  // Records in pinned host memory -> slots, and back. record_slots, slots: [count], device or
  // pinned host. record_slots null: 0, 1, 2, ... Entries whose record_slots or slots is kNoSlot are
  // skipped. On a GPU few multiprocessors take part: the bus is the limit, and other streams run
  // beside.
  virtual void unpack_records(Stream& stream, const RowArena& arena, const HostRecords& records,
                              const SlotId* record_slots, const SlotId* slots,
                              std::int64_t count) = 0;
  virtual void pack_records(Stream& stream, const RowArena& arena, const HostRecords& records,
                            const SlotId* record_slots, const SlotId* slots,
                            std::int64_t count) = 0;
  // Copies whole rows between slots. from, to: [count]; kNoSlot in `from` is skipped; to null: 0,
  // 1, 2, ...
  virtual void copy_rows(Stream& stream, const RowArena& source, const SlotId* from,
                         const RowArena& target, const SlotId* to, std::int64_t count) = 0;
  // out[i] = value of slots[i] as float32. out: [count, columns of the part].
  virtual void read_values(Stream& stream, const RowArena& arena, int part, const SlotId* slots,
                           std::int64_t count, float* out) = 0;
};

}  // namespace mneme::kernels
