// Operation accumulate_gradient of the CUDA backend. A block has a few rows; what leads to their
// gradients is read for all of them at once.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/row_gradient.h"
#include "kernels/row_checks.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kInFlight = 4;  // lookups of a thread
// Named, so that the compiler spends registers on reads under way.
constexpr int kResidentBlocks = 4;

// A row of the block, in shared memory.
struct AccumulatedRow {
  SlotId slot;
  std::uint32_t begin, end;  // its lookups
  bool is_first;
};

template <typename Vector, bool kWhole>
__global__ void __launch_bounds__(kMaxRowThreads, kWhole ? kResidentBlocks : 1)
    accumulate_gradient_kernel(GradientLookups lookups, StandingGradient standing, RowSpan span,
                               std::int64_t count, int block_rows) {
  __shared__ AccumulatedRow rows[kBlockRows];
  __shared__ GradientTerm terms[kWindow];
  const std::int64_t first = std::int64_t{blockIdx.x} * block_rows;
  const auto rows_here = static_cast<int>(min(std::int64_t{block_rows}, count - first));
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread < rows_here) {
    const std::int64_t i = first + thread;
    rows[thread] = {standing.slots[i], lookups.offsets[i], lookups.offsets[i + 1],
                    standing.is_first[i] != 0};
  }
  __syncthreads();
  LookupWindow window{terms, rows[rows_here - 1].end};
  for (int i = 0; i < rows_here; ++i) {
    const AccumulatedRow row = rows[i];
    float* const gradient = row_at(standing.gradient, row.slot, lookups.width * 4);
    for (std::int64_t tile = 0; tile < span.end(); tile += row_tile()) {
      Quads sum;
#pragma unroll
      for (int k = 0; k < kQuads; ++k) {
        for (int c = 0; c < kQuad; ++c) sum[k][c] = 0;
        if (row.is_first) continue;
        const std::int64_t column = span.column(tile, k);
        stream_quad<kWhole>(gradient + column, span.columns(column), sum[k]);
      }
      add_gradient<kInFlight, Vector, kWhole>(lookups, window, row.begin, row.end, span, tile, sum);
#pragma unroll
      for (int k = 0; k < kQuads; ++k) {
        const std::int64_t column = span.column(tile, k);
        store_quad<kWhole>(gradient + column, span.columns(column), sum[k]);
      }
    }
  }
}

}  // namespace

void CudaBackend::accumulate_gradient(Stream& stream, const RowArena& arena,
                                      const AccumulateArgs& args) {
  check_accumulate(arena, args);
  Operation operation(stream, "accumulate_gradient");
  for (int i = 0; i < arena.layout.part_count; ++i) {
    const StandingGradient standing{arena.parts[i].gradient, args.slots, args.is_first};
    const GradientLookups lookups =
        prepare_gradient(operation, args.gradient, i, args.first, args.count, standing);
    if (args.count == 0) continue;
    const RowSpan span{arena.layout.parts[i].columns.count, 0, 0};
    const int block_rows = rows_per_block(args.count);
    const bool whole = is_whole(lookups) && is_aligned(standing.gradient, 16);
    with_float_type(lookups.type, [&](auto type) {
      with_bool(whole, [&](auto is_whole) {
        operation.launch({blocks_for(args.count, block_rows), span_threads(span)},
                         accumulate_gradient_kernel<decltype(type), decltype(is_whole)::value>,
                         lookups, standing, span, args.count, block_rows);
      });
    });
  }
}

}  // namespace mneme::kernels::cuda
