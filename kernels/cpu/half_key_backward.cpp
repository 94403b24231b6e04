// Operation half_key_backward of the CPU backend: from the gradients of the selected scores to
// queries and half-keys. A half-key's gradient sums its lookups in ascending (token, position).
#include <algorithm>
#include <cstring>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/weighted_sum.h"

namespace mneme::kernels::cpu {
namespace {

MNEME_INLINE std::int64_t half_of(RowId row, int half, std::int64_t half_keys) {
  return half == 0 ? row / half_keys : row % half_keys;
}

template <int kWide>
void query_gradient(const HalfKeyBackwardArgs& args, std::int64_t group, int half) {
  const std::int64_t head = group % args.heads;
  const float* keys = args.keys + (head * 2 + half) * args.half_keys * args.half_width;
  float* out = args.d_queries + (group * 2 + half) * args.half_width;
  std::fill(out, out + args.half_width, 0.0f);
  WeightedRows<float> batch;
  batch.count = args.knn;
  for (std::int64_t j = 0; j < args.knn; ++j) {
    const std::int64_t key = half_of(args.rows[group * args.knn + j], half, args.half_keys);
    batch.rows[j] = keys + key * args.half_width;
    batch.weights[j] = args.d_scores[group * args.knn + j];
  }
  const std::int64_t width = args.half_width;
  vectorised([&batch, width, out]()
                 MNEME_VECTORISE { add_weighted_rows<kWide, 0>(batch, width, out); });
}

// The lookups of one (head, half), grouped by half-key: starts: [half_keys + 1],
// lookups: [tokens * knn], entry t * knn + j.
struct KeyLookups {
  std::uint32_t* starts;
  std::uint32_t* lookups;
};

void group_by_key(const HalfKeyBackwardArgs& args, std::int64_t head, int half,
                  const KeyLookups& out) {
  const auto key_of = [&](std::int64_t t, std::int64_t j) {
    return half_of(args.rows[(t * args.heads + head) * args.knn + j], half, args.half_keys);
  };
  std::memset(out.starts, 0, static_cast<std::size_t>(args.half_keys + 1) * 4);
  for (std::int64_t t = 0; t < args.tokens; ++t) {
    for (std::int64_t j = 0; j < args.knn; ++j) ++out.starts[key_of(t, j) + 1];
  }
  for (std::int64_t i = 0; i < args.half_keys; ++i) out.starts[i + 1] += out.starts[i];
  // Filling moves each start to its end, which is the next one's start.
  for (std::int64_t t = 0; t < args.tokens; ++t) {
    for (std::int64_t j = 0; j < args.knn; ++j) {
      out.lookups[out.starts[key_of(t, j)]++] = static_cast<std::uint32_t>(t * args.knn + j);
    }
  }
  std::memmove(out.starts + 1, out.starts, static_cast<std::size_t>(args.half_keys) * 4);
  out.starts[0] = 0;
}

template <int kWide>
void key_gradient(const HalfKeyBackwardArgs& args, std::int64_t head, int half,
                  const KeyLookups& grouped, std::int64_t key) {
  const std::int64_t width = args.half_width;
  float* out = args.d_keys + ((head * 2 + half) * args.half_keys + key) * width;
  WeightedRows<float> batch;
  for (std::uint32_t at = grouped.starts[key]; at < grouped.starts[key + 1];) {
    batch.count = std::min<std::int64_t>(batch.kCapacity, grouped.starts[key + 1] - at);
    for (std::int64_t i = 0; i < batch.count; ++i, ++at) {
      const std::int64_t t = grouped.lookups[at] / args.knn;
      const std::int64_t j = grouped.lookups[at] % args.knn;
      const std::int64_t group = t * args.heads + head;
      batch.rows[i] = args.queries + (group * 2 + half) * width;
      batch.weights[i] = args.d_scores[group * args.knn + j];
    }
    vectorised([&batch, width, out]()
                   MNEME_VECTORISE { add_weighted_rows<kWide, 2>(batch, width, out); });
  }
}

constexpr std::int64_t kKeysPerTask = 32;

template <int kWide>
void run(const HalfKeyBackwardArgs& args, Scratch& scratch) {
  const std::int64_t sides = args.heads * 2;
  auto* starts = scratch.take<std::uint32_t>(sides * (args.half_keys + 1));
  auto* lookups = scratch.take<std::uint32_t>(sides * args.tokens * args.knn);
  const auto lookups_of = [=](std::int64_t side) {
    return KeyLookups{starts + side * (args.half_keys + 1),
                      lookups + side * args.tokens * args.knn};
  };
  parallel_tasks(sides, [=](std::int64_t side) {
    group_by_key(args, side / 2, static_cast<int>(side % 2), lookups_of(side));
  });
  const std::int64_t blocks = chunk_count(args.half_keys, kKeysPerTask);
  parallel_tasks(sides * blocks, [=](std::int64_t task) {
    const std::int64_t side = task / blocks, first = task % blocks * kKeysPerTask;
    const std::int64_t last = std::min(args.half_keys, first + kKeysPerTask);
    for (std::int64_t key = first; key < last; ++key) {
      key_gradient<kWide>(args, side / 2, static_cast<int>(side % 2), lookups_of(side), key);
    }
  });
  parallel_chunks(args.tokens * args.heads, 8, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t group = begin; group < end; ++group) {
      query_gradient<kWide>(args, group, 0);
      query_gradient<kWide>(args, group, 1);
    }
  });
}

}  // namespace

void CpuBackend::half_key_backward(Stream& stream, const HalfKeyBackwardArgs& args) {
  CHECK(args.knn >= 1 && args.knn <= WeightedRows<float>::kCapacity);
  CHECK(args.half_keys >= 1 && args.half_width >= 1);
  CHECK(args.tokens * args.knn < std::int64_t{1} << 32);
  on(stream).enqueue([=](Scratch& scratch) {
    if (args.tokens == 0) return;
    with_register_blocks([&](auto wide) { run<decltype(wide)::value>(args, scratch); });
  });
}

}  // namespace mneme::kernels::cpu
