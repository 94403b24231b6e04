// Operation group_lookups: sort the lookups by row, find the distinct rows, and order each token's
// lookups likewise.
#include <algorithm>
#include <bit>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/device_math.h"
#include "kernels/cuda/radix_sort.h"
#include "kernels/cuda/thrust_policy.h"

namespace mneme::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
// A block sorts the lookups of some tokens in shared memory: two keys a thread, or one token's.
constexpr int kFewestKeys = 2 * kThreads;
constexpr int kMostKeys = 4096;  // 32 KiB

__global__ void no_lookups_kernel(std::uint32_t* offsets, std::uint64_t* count) {
  *offsets = 0;
  *count = 0;
}

// Sorts every `segment` neighbouring keys, ascending: a bitonic network. A warp compares the pairs
// of one stretch of keys, so that steps within a stretch need no barrier of the block. Both powers
// of two; keys: [count] in shared memory.
__device__ void sort_segments(std::uint64_t* keys, int count, int segment) {
  const int stretch = count / kWarps, lane = static_cast<int>(threadIdx.x % kWarp);
  const int first = static_cast<int>(threadIdx.x / kWarp) * stretch / 2;
  for (int size = 2; size <= segment; size *= 2) {
    for (int distance = size / 2; distance > 0; distance /= 2) {
      for (int pair = first + lane; pair < first + stretch / 2; pair += kWarp) {
        const int low = 2 * pair - (pair & (distance - 1)), high = low + distance;
        const bool ascending = size == segment || (low & size) == 0;
        const std::uint64_t a = keys[low], b = keys[high];
        if ((a > b) == ascending) {
          keys[low] = b;
          keys[high] = a;
        }
      }
      const int next = distance > 1 ? distance / 2 : size;
      if (2 * max(distance, next) <= stretch) {
        __syncwarp();
      } else {
        __syncthreads();
      }
    }
  }
  __syncthreads();
}

// Fills token_order from unique_index, both [tokens, width]. A token has 2^log_padded places among
// the block's keys, width of them used. Dynamic shared memory: [keys_of_block] keys.
__global__ void __launch_bounds__(kThreads)
    order_tokens_kernel(const std::uint32_t* unique_index, std::uint32_t* token_order,
                        std::int64_t tokens, int width, int log_padded, int keys_of_block) {
  std::uint64_t* keys = dynamic_shared<std::uint64_t>();
  const std::int64_t first_token = std::int64_t{blockIdx.x} * (keys_of_block >> log_padded);
  const int padded = 1 << log_padded;
  for (int i = static_cast<int>(threadIdx.x); i < keys_of_block; i += kThreads) {
    const std::int64_t token = first_token + (i >> log_padded);
    const int position = i & (padded - 1);
    keys[i] = token < tokens && position < width
                  ? std::uint64_t{unique_index[token * width + position]} << 32 | position
                  : ~std::uint64_t{0};
  }
  __syncthreads();
  sort_segments(keys, keys_of_block, padded);
  for (int i = static_cast<int>(threadIdx.x); i < keys_of_block; i += kThreads) {
    const std::int64_t token = first_token + (i >> log_padded);
    const int position = i & (padded - 1);
    if (token >= tokens || position >= width) continue;
    token_order[token * width + position] =
        static_cast<std::uint32_t>(token * width) + static_cast<std::uint32_t>(keys[i]);
  }
}

__global__ void token_of_lookup_kernel(const std::uint32_t* order, std::int64_t count,
                                       std::uint32_t width, std::uint32_t* tokens) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) tokens[i] = order[i] / width;
}

void order_tokens(Operation& operation, const GroupedLookups& grouped) {
  const std::int64_t count = grouped.lookups, width = grouped.lookups_per_token;
  if (width <= kMostKeys) {
    const int log_padded = std::bit_width(static_cast<std::uint64_t>(width - 1));
    const int keys = std::max(1 << log_padded, kFewestKeys);
    operation.launch(
        {blocks_for(count / width, keys >> log_padded), kThreads, keys * sizeof(std::uint64_t)},
        order_tokens_kernel, grouped.unique_index, grouped.token_order, count / width, width,
        log_padded, keys);
    return;
  }
  // The order by row, sorted stably by token.
  auto* tokens = operation.take<std::uint32_t>(count);
  operation.launch({blocks_for(count, kThreads), kThreads}, token_of_lookup_kernel, grouped.order,
                   count, width, tokens);
  sort_pairs<std::uint32_t>(operation, {.keys = tokens,
                                        .sorted_keys = operation.take<std::uint32_t>(count),
                                        .values = grouped.order,
                                        .sorted_values = grouped.token_order,
                                        .count = count,
                                        .most = static_cast<std::uint32_t>(count / width - 1)});
}

}  // namespace

void CudaBackend::group_lookups(Stream& stream, const GroupedLookups& grouped) {
  const std::int64_t count = grouped.lookups;
  CHECK(count >= 0 && count < (std::int64_t{1} << 32));
  CHECK(grouped.lookups_per_token >= 1 && count % grouped.lookups_per_token == 0);
  CHECK(grouped.unique_rows != nullptr && grouped.offsets != nullptr && grouped.order != nullptr &&
        grouped.unique_index != nullptr && grouped.count != nullptr);
  Operation operation(stream, "group_lookups");
  if (count == 0) {
    operation.launch({1, 1}, no_lookups_kernel, grouped.offsets, grouped.count);
    return;
  }
  auto* keys = operation.take<RowId>(count);
  auto* run = operation.take<std::uint32_t>(count);
  // `run` holds the lookups' own numbers until they are sorted.
  with_policy(
      operation, [](const auto& policy, auto... what) { algorithms::count_up(policy, what...); },
      run, count);
  sort_pairs<RowId>(operation, {.keys = grouped.rows,
                                .sorted_keys = keys,
                                .values = run,
                                .sorted_values = grouped.order,
                                .count = count,
                                .most = static_cast<RowId>(grouped.table_rows - 1)});
  with_policy(
      operation,
      [](const auto& policy, auto... what) { algorithms::group_sorted(policy, what...); }, grouped,
      static_cast<const RowId*>(keys), run);
  if (grouped.token_order != nullptr) order_tokens(operation, grouped);
}

}  // namespace mneme::kernels::cuda
