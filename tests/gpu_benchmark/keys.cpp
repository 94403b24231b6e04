// Product keys: the products that score half-keys, and the search in them.
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

}  // namespace

void add_keys() {
  add("key_scores/float32/32k_x_4_x_2_x_4096",
      [](benchmark::State& state) { score(state, FloatType::kF32); });
  add("key_scores/bf16/32k_x_4_x_2_x_4096",
      [](benchmark::State& state) { score(state, FloatType::kBF16); });
  add("product_keys/32k_x_4_x_2_x_4096/knn_32", search);
}

}  // namespace mneme::gpu_benchmark
