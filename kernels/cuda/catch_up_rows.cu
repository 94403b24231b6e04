// Operation catch_up_rows of the CUDA backend: the missed AdamW steps of rows that were not in use,
// SPEC.md's sum in the closed form of CatchUpEntry, or element by element where that does not hold.
//
// Three kernels: what all columns of a row share (exponentials in double, a thread a row), the rows
// that the closed form serves, and the others; the last two for each part of the rows. They read
// values and moments and write values: 12 and 4 bytes an element of float32. Rows that are current
// cost a read of their last step.
#include <algorithm>

#include "kernels/cuda/catch_up_drift.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/row_columns.h"
#include "kernels/cuda/row_rounding.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cuda {
namespace {

enum class Way : std::uint32_t { kNone, kClosed, kSummed };

// A row on its way to the target step, as the first kernel leaves it for the others.
struct __align__(16) RowTask {
  SlotId slot;
  RowId row;
  std::uint32_t last_step;
  Way way;
  float decay;             // D(l, t)
  float moment1, moment2;  // what makes the moments those of step l
  float padding;
};

struct TaskShape {
  const RowTask* tasks;
  std::int64_t count;
  int block_rows;
};

constexpr int kThreads = 256;
// Named, so that the compiler spends registers on reads under way.
constexpr int kResidentBlocks = 3;

__global__ void __launch_bounds__(kThreads, kResidentBlocks)
    plan_rows_kernel(std::uint32_t* last_steps, std::uint32_t* moment_lags, const RowId* rows,
                     const SlotId* slots, std::int64_t count, CatchUpArgs args, RowTask* tasks,
                     DeviceReport* target) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= count) return;
  RowTask task{slots[i], rows[i], 0, Way::kNone, 1, 1, 1, 0};
  const std::uint32_t l = last_steps[task.slot];
  if (l > args.target_step) {
    report(target, ReportCode::kRowAhead, task.row, l, static_cast<std::int64_t>(args.target_step));
  } else if (l < args.target_step) {
    const std::uint32_t lag = moment_lags[task.slot];
    if (lag > l) {
      report(target, ReportCode::kMomentsBehind, task.row, lag, l);
      tasks[i] = task;
      return;
    }
    task.last_step = l;
    task.way = args.entries[l].closed_form != 0 ? Way::kClosed : Way::kSummed;
    task.decay = static_cast<float>(exp(args.log_decay[args.target_step] - args.log_decay[l]));
    task.moment1 = args.moment_decay[lag].decay1;
    task.moment2 = args.moment_decay[lag].decay2;
    last_steps[task.slot] = static_cast<std::uint32_t>(args.target_step);
    moment_lags[task.slot] = lag + static_cast<std::uint32_t>(args.target_step - l);
  }
  tasks[i] = task;
}

// ---- the closed form ----

__device__ __forceinline__ void stage_scalars(const RowTask& task, const CatchUpEntry* entries,
                                              float epsilon, float inverse_epsilon,
                                              RowScalars& place) {
  const CatchUpEntry& entry = entries[task.last_step];
  for (int i = 0; i < kTerms; ++i) place.numerator[i] = entry.numerator[i] * task.decay;
  place.decay = task.decay;
  place.moment1 = task.moment1;
  place.moment2 = task.moment2;
  place.scale = entry.scale;
  place.scaled_epsilon = epsilon * entry.scale;
  place.inverse_epsilon = inverse_epsilon;
}

// A parameter of the kernel.
struct ClosedForm {
  Denominator denominator;
  const CatchUpEntry* entries;
  float epsilon, inverse_epsilon;
  std::uint32_t step;
  std::uint64_t seed;
};

template <typename Value, typename Moment, bool kWhole>
__device__ __forceinline__ void catch_up_tile(const PartArrays& part, const RowSpan& span,
                                              const ClosedForm& form, const RowTask& task,
                                              const RowScalars& scalars, std::int64_t tile) {
  const std::int64_t start = std::int64_t{task.slot} * span.width;
  auto* values = static_cast<Value*>(part.values) + start;
  Quads value, moment1, moment2;
  stream_quads<kWhole>(values, tile, span, value);
  stream_quads<kWhole>(static_cast<const Moment*>(part.moment1) + start, tile, span, moment1);
  stream_quads<kWhole>(static_cast<const Moment*>(part.moment2) + start, tile, span, moment2);
  const RoundingKey key{form.seed, form.step, task.row};
#pragma unroll
  for (int k = 0; k < kQuads; ++k) {
    float drift[kQuad];
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      moment1[k][c] *= scalars.moment1;
      moment2[k][c] *= scalars.moment2;
    }
    closed_drift(scalars, form.denominator, moment1[k], moment2[k], drift);
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      value[k][c] = fused_multiply_add(value[k][c], scalars.decay, -drift[c]);
    }
    std::uint32_t bits[kQuad] = {};
    if constexpr (sizeof(Value) == 2) {
      rounding_quad(key, RoundingStream::kValue, span.random(tile, k), bits);
    }
    const std::int64_t column = span.column(tile, k);
    store_rounded_quad<kWhole>(values + column, span.columns(column), value[k], bits, 0);
  }
}

template <typename Value, typename Moment, bool kWhole>
__global__ void __launch_bounds__(kMaxRowThreads, kWhole ? kResidentBlocks : 1)
    closed_form_kernel(PartArrays part, RowSpan span, TaskShape shape, ClosedForm form) {
  __shared__ RowTask tasks[kBlockRows];
  __shared__ RowScalars scalars[kBlockRows];
  const std::int64_t first = std::int64_t{blockIdx.x} * shape.block_rows;
  const auto count = static_cast<int>(min(std::int64_t{shape.block_rows}, shape.count - first));
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < count) {
    const RowTask task = shape.tasks[first + thread];
    tasks[thread] = task;
    if (task.way == Way::kClosed) {
      stage_scalars(task, form.entries, form.epsilon, form.inverse_epsilon, scalars[thread]);
    }
  }
  __syncthreads();
  for (int i = 0; i < count; ++i) {
    const RowTask task = tasks[i];
    if (task.way != Way::kClosed) continue;
    const RowScalars row = scalars[i];
    for (std::int64_t tile = 0; tile < span.end(); tile += row_tile()) {
      catch_up_tile<Value, Moment, kWhole>(part, span, form, task, row, tile);
    }
  }
}

// ---- the sum, element by element, in double ----

constexpr int kSumThreads = 128;
constexpr int kSumColumns = 4;             // of a thread, kSumThreads apart
constexpr std::int64_t kSumBlocks = 2048;  // with fewer rows, a block has one

// What all columns share of one missed step.
struct StepTerm {
  double weight, root_ratio;
};

__device__ StepTerm step_term(const CatchUpArgs& args, std::uint64_t l, std::uint64_t s) {
  const auto missed = static_cast<double>(s - l), step = static_cast<double>(s);
  const double weight = static_cast<double>(args.learning_rates[s]) *
                        exp(args.log_decay[args.target_step] - args.log_decay[s]) *
                        pow(args.beta1, missed) / (1 - pow(args.beta1, step));
  return {weight, sqrt(pow(args.beta2, missed) / (1 - pow(args.beta2, step)))};
}

// sums[c] += the missed steps' terms for a second moment of roots[c]^2. Every thread of the block
// calls it.
__device__ void add_steps(const CatchUpArgs& args, std::uint64_t l, StepTerm* terms,
                          const double (&roots)[kSumColumns], double (&sums)[kSumColumns]) {
  const std::uint64_t last =
      args.target_step - l < args.window ? args.target_step : l + args.window;
  for (std::uint64_t first = l + 1; first <= last; first += kSumThreads) {
    __syncthreads();
    const std::uint64_t own = first + threadIdx.x;
    if (own <= last) terms[threadIdx.x] = step_term(args, l, own);
    __syncthreads();
    const auto n = static_cast<int>(min(std::uint64_t{kSumThreads}, last - first + 1));
    for (int i = 0; i < n; ++i) {
      const StepTerm term = terms[i];
#pragma unroll
      for (int c = 0; c < kSumColumns; ++c) {
        sums[c] += term.weight / (term.root_ratio * roots[c] + args.epsilon);
      }
    }
  }
}

// Columns tile + k * kSumThreads + threadIdx.x of a row.
template <typename Value, typename Moment>
__device__ void catch_up_summed(const PartArrays& part, const RowSpan& span,
                                const CatchUpArgs& args, const RowTask& task, std::int64_t tile,
                                StepTerm* terms) {
  const std::int64_t width = span.width, start = std::int64_t{task.slot} * width;
  auto* values = static_cast<Value*>(part.values) + start;
  const auto* moments1 = static_cast<const Moment*>(part.moment1) + start;
  const auto* moments2 = static_cast<const Moment*>(part.moment2) + start;
  float moment1[kSumColumns] = {}, moment2[kSumColumns] = {};
  double roots[kSumColumns], sums[kSumColumns] = {};
  bool moving = false;
#pragma unroll
  for (int k = 0; k < kSumColumns; ++k) {
    const std::int64_t column = tile + k * kSumThreads + threadIdx.x;
    if (column < width) {
      moment1[k] = load(moments1 + column) * task.moment1;
      moment2[k] = load(moments2 + column) * task.moment2;
    }
    roots[k] = sqrt(static_cast<double>(moment2[k]));
    moving = moving || moment1[k] != 0.0f;
  }
  // Nothing to add up for rows that no step has updated: they have no momentum.
  if (__syncthreads_or(moving ? 1 : 0) != 0) add_steps(args, task.last_step, terms, roots, sums);
  const RoundingKey key{args.seed, static_cast<std::uint32_t>(args.target_step), task.row};
#pragma unroll
  for (int k = 0; k < kSumColumns; ++k) {
    const std::int64_t column = tile + k * kSumThreads + threadIdx.x;
    if (column >= width) continue;
    const float drift =
        moment1[k] != 0.0f ? static_cast<float>(static_cast<double>(moment1[k]) * sums[k]) : 0.0f;
    const float value = fused_multiply_add(load(values + column), task.decay, -drift);
    std::uint32_t bits = 0;
    if constexpr (sizeof(Value) == 2) {
      bits = rounding_bits(key, RoundingStream::kValue, span.random_column + span.lead + column);
    }
    store_rounded(values + column, value, bits, 0);
  }
}

// Mostly no row is to be summed: a block asks for all of its rows, up to a row a thread, at once.
template <typename Value, typename Moment>
__global__ void __launch_bounds__(kSumThreads, kResidentBlocks)
    summed_kernel(PartArrays part, RowSpan span, TaskShape shape, CatchUpArgs args) {
  __shared__ StepTerm terms[kSumThreads];
  const std::int64_t first = std::int64_t{blockIdx.x} * shape.block_rows;
  const auto count = static_cast<int>(min(std::int64_t{shape.block_rows}, shape.count - first));
  const RowTask* tasks = shape.tasks + first;
  const auto thread = static_cast<int>(threadIdx.x);
  const bool summed = thread < count && tasks[thread].way == Way::kSummed;
  if (__syncthreads_or(summed ? 1 : 0) == 0) return;
  for (int i = 0; i < count; ++i) {
    const RowTask task = tasks[i];
    if (task.way != Way::kSummed) continue;
    for (std::int64_t tile = 0; tile < span.width; tile += kSumThreads * kSumColumns) {
      catch_up_summed<Value, Moment>(part, span, args, task, tile, terms);
    }
  }
}

ClosedForm closed_form(const CatchUpArgs& args) {
  ClosedForm form{{},
                  args.entries,
                  static_cast<float>(args.epsilon),
                  static_cast<float>(1 / args.epsilon),
                  static_cast<std::uint32_t>(args.target_step),
                  args.seed};
  for (int i = 0; i <= kTerms; ++i) form.denominator.coefficients[i] = args.denominator[i];
  return form;
}

template <typename Value, typename Moment>
void launch_catch_up(Operation& operation, const ArenaPart& part, const RowTask* tasks,
                     std::int64_t count, const CatchUpArgs& args) {
  const int rows = rows_per_block(count);
  const PartArrays& arrays = part.arrays;
  const RowSpan span = row_span(part);
  with_bool(has_whole_quads(part), [&](auto is_whole) {
    operation.launch({blocks_for(count, rows), span_threads(span)},
                     closed_form_kernel<Value, Moment, decltype(is_whole)::value>, arrays, span,
                     TaskShape{tasks, count, rows}, closed_form(args));
  });
  const auto summed_rows =
      static_cast<int>(std::clamp<std::int64_t>(count / kSumBlocks, 1, kSumThreads));
  operation.launch({blocks_for(count, summed_rows), kSumThreads}, summed_kernel<Value, Moment>,
                   arrays, span, TaskShape{tasks, count, summed_rows}, args);
}

}  // namespace

void CudaBackend::catch_up_rows(Stream& stream, const RowArena& arena, const RowId* rows,
                                const SlotId* slots, std::int64_t count, const CatchUpArgs& args) {
  if (args.kind != RowOptimizerKind::kAdamW) return;
  check_catch_up(arena, args);
  CHECK(count >= 0);
  Operation operation(stream, "catch_up_rows");
  if (count == 0) return;
  auto* tasks = operation.take<RowTask>(count);
  operation.launch({blocks_for(count, kThreads), kThreads}, plan_rows_kernel, arena.last_step,
                   arena.moment_lag, rows, slots, count, args, tasks, operation.report());
  for (int i = 0; i < arena.layout.part_count; ++i) {
    const ArenaPart part(arena, i);
    with_float_type(part.layout.value_type, [&](auto value_type) {
      with_float_type(part.layout.moment_type, [&](auto moment_type) {
        launch_catch_up<decltype(value_type), decltype(moment_type)>(operation, part, tasks, count,
                                                                     args);
      });
    });
  }
}

}  // namespace mneme::kernels::cuda
