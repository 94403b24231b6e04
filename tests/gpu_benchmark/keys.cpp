// Product keys: the products that score half-keys, the search in them, and their gradients.
#include <random>

#include "tests/gpu_benchmark/bench.h"

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

constexpr std::int64_t kHeads = 4, kHalfWidth = 256, kKnn = 32;

struct KeyBench {
  Bench bench;
  std::int64_t tokens = shrunk(32768);
  std::int64_t half_keys = shrunk(4096, 64);
  float* scores = bench.floats(tokens * kHeads * 2 * half_keys);

  void score(const void* queries, const void* keys, FloatType type) {
    bench.backend().matmul(bench.stream(), {.a = queries,
                                            .b = keys,
                                            .c = scores,
                                            .input_type = type,
                                            .m = tokens,
                                            .n = half_keys,
                                            .k = kHalfWidth,
                                            .lda = kHeads * 2 * kHalfWidth,
                                            .ldb = kHalfWidth,
                                            .ldc = kHeads * 2 * half_keys,
                                            .transpose_b = true,
                                            .batch = kHeads * 2,
                                            .stride_a = kHalfWidth,
                                            .stride_b = half_keys * kHalfWidth,
                                            .stride_c = half_keys});
  }
  const void* queries(FloatType type) {
    return bench.normal(tokens * kHeads * 2 * kHalfWidth, type);
  }
  const void* keys(FloatType type) {
    return bench.normal(kHeads * 2 * half_keys * kHalfWidth, type, 0.04f);
  }
  double score_bytes() const {
    return static_cast<double>(tokens * kHeads * 2) * static_cast<double>(half_keys) * 4;
  }
};

void score(benchmark::State& state, FloatType type) {
  KeyBench keys;
  const void* q = keys.queries(type);
  const void* k = keys.keys(type);
  const double flops = keys.score_bytes() / 4 * 2 * static_cast<double>(kHalfWidth);
  time_operation(state, keys.bench, {.bytes = keys.score_bytes(), .flops = flops},
                 [&] { keys.score(q, k, type); });
}

void search(benchmark::State& state) {
  KeyBench keys;
  const std::int64_t picked = keys.tokens * kHeads * kKnn;
  auto* rows = keys.bench.make<kernels::RowId>(picked);
  float* weights = keys.bench.floats(picked);
  keys.score(keys.queries(FloatType::kF32), keys.keys(FloatType::kF32), FloatType::kF32);
  time_operation(
      state, keys.bench, {.bytes = keys.score_bytes() + static_cast<double>(picked) * 8}, [&] {
        keys.bench.backend().product_keys(keys.bench.stream(), {.half_scores = keys.scores,
                                                                .rows = rows,
                                                                .weights = weights,
                                                                .tokens = keys.tokens,
                                                                .heads = kHeads,
                                                                .half_keys = keys.half_keys,
                                                                .knn = kKnn});
      });
}

void softmax_backward(benchmark::State& state) {
  Bench bench;
  const std::int64_t groups = shrunk(32768) * kHeads, count = groups * kKnn;
  const auto numbers = [&] { return static_cast<float*>(bench.normal(count, FloatType::kF32)); };
  const kernels::SoftmaxBackwardArgs args{.weights = numbers(),
                                          .d_weights = numbers(),
                                          .d_scores = bench.floats(count),
                                          .groups = groups,
                                          .knn = kKnn};
  time_operation(state, bench, {.bytes = static_cast<double>(count) * 12},
                 [&] { bench.backend().softmax_backward(bench.stream(), args); });
}

// Bytes are those of the half-keys and queries gathered for each look-up and side, mostly from the
// L2 cache: a share of more than 1 is possible.
void half_key_backward(benchmark::State& state) {
  Bench bench;
  const std::int64_t tokens = shrunk(32768), half_keys = shrunk(4096, 64);
  const std::int64_t lookups = tokens * kHeads * kKnn;
  const auto numbers = [&](std::int64_t count) {
    return static_cast<float*>(bench.normal(count, FloatType::kF32));
  };
  std::mt19937 random(1);
  std::vector<kernels::RowId> rows(static_cast<std::size_t>(lookups));
  for (auto& row : rows) row = static_cast<kernels::RowId>(random() % (half_keys * half_keys));
  const kernels::HalfKeyBackwardArgs args{
      .rows = bench.upload(rows),
      .d_scores = numbers(lookups),
      .queries = numbers(tokens * kHeads * 2 * kHalfWidth),
      .keys = numbers(kHeads * 2 * half_keys * kHalfWidth),
      .d_queries = bench.floats(tokens * kHeads * 2 * kHalfWidth),
      .d_keys = bench.floats(kHeads * 2 * half_keys * kHalfWidth),
      .tokens = tokens,
      .heads = kHeads,
      .half_keys = half_keys,
      .half_width = kHalfWidth,
      .knn = kKnn};
  const double gathered = static_cast<double>(lookups * 2) * 2 * 4 * kHalfWidth;
  time_operation(state, bench, {.bytes = gathered},
                 [&] { bench.backend().half_key_backward(bench.stream(), args); });
}

}  // namespace

void add_keys() {
  add("key_scores/float32/32k_x_4_x_2_x_4096",
      [](benchmark::State& state) { score(state, FloatType::kF32); });
  add("key_scores/bf16/32k_x_4_x_2_x_4096",
      [](benchmark::State& state) { score(state, FloatType::kBF16); });
  add("product_keys/32k_x_4_x_2_x_4096/knn_32", search);
  add("softmax_backward/32k_x_4/knn_32", softmax_backward);
  add("half_key_backward/32k_x_4_x_2_x_4096/256_wide/knn_32", half_key_backward);
}

}  // namespace mneme::gpu_benchmark
