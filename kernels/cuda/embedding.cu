// Token embedding: copying rows of a table, and adding gradients back in token order.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/operation.h"
#include "kernels/cuda/radix_sort.h"
#include "kernels/cuda/vector_access.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kN = 4;
constexpr int kWarps = 8;  // of a block
constexpr int kThreads = kWarps * kWarp;
constexpr int kGroups = 4;  // of a lane: loads in flight
constexpr std::int64_t kTile = kWarp * kN * kGroups;
constexpr int kTogether = 8;  // rows of one token whose loads are in flight together

// One warp copies one row. A token outside the vocabulary is reported and gives zeros.
__global__ void __launch_bounds__(kThreads)
    embedding_kernel(EmbeddingArgs args, bool vector, DeviceReport* reports) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t i = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (i >= args.count) return;
  const std::int64_t token = args.tokens[i];
  const bool known = token >= 0 && token < args.vocabulary;
  if (!known && lane == 0) report(reports, ReportCode::kTokenOutside, token, i, args.vocabulary);
  const float* row = args.table + (known ? token : 0) * args.width;
  float* out = args.out + i * args.width;
  for (std::int64_t c = lane * kN; c < args.width; c += kTile) {
    const std::int64_t left = args.width - c;
    float x[kGroups][kN];
    load_row_groups(row + c, kWarp * kN, known ? left : 0, vector, x);
    store_row_groups(out + c, kWarp * kN, left, vector, x);
  }
}

// keys: the tokens, those outside the vocabulary as its size.
__global__ void __launch_bounds__(kThreads)
    occurrences_kernel(EmbeddingBackwardArgs args, std::uint32_t* keys, std::uint32_t* positions,
                       DeviceReport* reports) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= args.count) return;
  const std::int64_t token = args.tokens[i];
  const bool known = token >= 0 && token < args.vocabulary;
  if (!known) report(reports, ReportCode::kTokenOutside, token, i, args.vocabulary);
  keys[i] = static_cast<std::uint32_t>(known ? token : args.vocabulary);
  positions[i] = static_cast<std::uint32_t>(i);
}

// sums += d_out[positions[j]] for j < run, in this order; lane j has position j. d_out: from the
// lane's first column on.
__device__ __forceinline__ void add_occurrences(const float* d_out, std::int64_t width,
                                                std::uint32_t position, int run, std::int64_t left,
                                                bool vector, float (&sums)[1][kN]) {
  for (int begin = 0; begin < run; begin += kTogether) {
    float values[kTogether][1][kN];
    const float* rows[kTogether];
#pragma unroll
    for (int u = 0; u < kTogether; ++u) {
      rows[u] = d_out + __shfl_sync(kAllLanes, position, begin + u) * width;
    }
    if (vector) {
#pragma unroll
      for (int u = 0; u < kTogether; ++u) load_row_groups(rows[u], 0, left, true, values[u]);
    } else {
#pragma unroll
      for (int u = 0; u < kTogether; ++u) load_row_groups(rows[u], 0, left, false, values[u]);
    }
#pragma unroll
    for (int u = 0; u < kTogether; ++u) {
#pragma unroll
      for (int i = 0; i < kN; ++i) {
        sums[0][i] = begin + u < run ? sums[0][i] + values[u][0][i] : sums[0][i];
      }
    }
  }
}

// Warp (i, columns): when the sorted occurrence i is its token's first, adds all of them.
__global__ void __launch_bounds__(kThreads)
    add_tokens_kernel(EmbeddingBackwardArgs args, const std::uint32_t* keys,
                      const std::uint32_t* positions, bool vector) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t first = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (first >= args.count) return;
  const std::uint32_t key = keys[first];
  if (key == args.vocabulary || (first > 0 && keys[first - 1] == key)) return;
  const std::int64_t column = std::int64_t{blockIdx.y} * (kWarp * kN) + lane * kN;
  const std::int64_t left = args.width - column;
  float* d_row = args.d_table + key * args.width + column;
  float sums[1][kN];
  load_row_groups(d_row, 0, left, vector, sums);
  int run = kWarp;
  for (std::int64_t i = first; run == kWarp; i += kWarp) {
    const bool same = i + lane < args.count && keys[i + lane] == key;
    // Rows that are read beside the run's are row 0 and count for nothing.
    const std::uint32_t position = same ? positions[i + lane] : 0;
    run = __popc(__ballot_sync(kAllLanes, same));
    add_occurrences(args.d_out + column, args.width, position, run, left, vector, sums);
  }
  store_row_groups(d_row, 0, left, vector, sums);
}

}  // namespace

void CudaBackend::embedding(Stream& stream, const EmbeddingArgs& args) {
  CHECK(args.count >= 0 && args.width > 0 && args.vocabulary > 0);
  Operation operation(stream, "embedding");
  operation.launch({blocks_for(args.count, kWarps), kThreads}, embedding_kernel, args,
                   vector_aligned<kN>(args.table, args.width) && vector_aligned<kN>(args.out),
                   operation.report());
}

void CudaBackend::embedding_backward(Stream& stream, const EmbeddingBackwardArgs& args) {
  CHECK(args.count >= 0 && args.width > 0 && args.vocabulary > 0);
  CHECK(args.count <= 0xffffffff && args.vocabulary <= 0x7fffffff);
  if (args.count == 0) return;
  Operation operation(stream, "embedding_backward");
  auto* tokens = operation.take<std::uint32_t>(args.count);
  auto* places = operation.take<std::uint32_t>(args.count);
  auto* keys = operation.take<std::uint32_t>(args.count);
  auto* positions = operation.take<std::uint32_t>(args.count);
  operation.launch({blocks_for(args.count, kThreads), kThreads}, occurrences_kernel, args, tokens,
                   places, operation.report());
  sort_pairs<std::uint32_t>(operation, {.keys = tokens,
                                        .sorted_keys = keys,
                                        .values = places,
                                        .sorted_values = positions,
                                        .count = args.count,
                                        .most = static_cast<std::uint32_t>(args.vocabulary)});
  operation.launch({.blocks = blocks_for(args.count, kWarps),
                    .threads = kThreads,
                    .blocks_y = blocks_for(args.width, kWarp * kN)},
                   add_tokens_kernel, args, keys, positions,
                   vector_aligned<kN>(args.d_out, args.width) && vector_aligned<kN>(args.d_table));
}

}  // namespace mneme::kernels::cuda
