// Times the dense operations at the sizes of a small transformer, beside what the machine can do:
// a large matrix product for arithmetic, a parallel copy for memory traffic.
//   kernel_benchmark --benchmark_filter=matmul
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/linear.h"

namespace mneme::kernels {
namespace {

class Bench {
 public:
  Bench() : backend_(make_cpu_backend()), stream_(backend_->create_stream()) {}
  Backend& backend() { return *backend_; }
  Stream& stream() { return *stream_; }

  // Small numbers, none of them denormal.
  Buffer floats(std::int64_t count) {
    Buffer buffer = backend_->allocate(static_cast<std::size_t>(count) * 4, MemoryKind::kDevice);
    for (std::int64_t i = 0; i < count; ++i) {
      buffer.as<float>()[i] = 0.01f * static_cast<float>(i % 37 + 1);
    }
    return buffer;
  }
  Buffer token_ids(std::int64_t count, std::int32_t vocabulary) {
    Buffer buffer = backend_->allocate(static_cast<std::size_t>(count) * 4, MemoryKind::kDevice);
    for (std::int64_t i = 0; i < count; ++i) {
      buffer.as<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7919 % vocabulary);
    }
    return buffer;
  }

  // Seconds of the best of several runs.
  double best_seconds(const std::function<void()>& queue) {
    double best = 1e9;
    for (int i = 0; i < 8; ++i) {
      const auto start = std::chrono::steady_clock::now();
      queue();
      stream_->synchronize();
      const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
      best = std::min(best, passed.count());
    }
    return best;
  }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Stream> stream_;
};

Bench& bench() {
  static Bench instance;
  return instance;
}

// What the machine reaches at best; measured once.
double gflops_limit() {
  static const double limit = [] {
    constexpr std::int64_t kSize = 1536;
    const Buffer a = bench().floats(kSize * kSize), b = bench().floats(kSize * kSize);
    const Buffer c = bench().floats(kSize * kSize);
    MatmulArgs args{.a = a.as<float>(), .b = b.as<float>(), .c = c.as<float>()};
    args.m = args.n = args.k = args.lda = args.ldb = args.ldc = kSize;
    const double seconds =
        bench().best_seconds([&] { bench().backend().matmul(bench().stream(), args); });
    return 2e-9 * kSize * kSize * kSize / seconds;
  }();
  return limit;
}

double copy_gbps_limit() {
  static const double limit = [] {
    constexpr std::int64_t kCount = std::int64_t{64} << 20;
    const Buffer from = bench().floats(kCount), to = bench().floats(kCount);
    const double seconds = bench().best_seconds([&] {
      bench().backend().copy(bench().stream(), to.as<void>(), from.as<void>(), from.bytes());
    });
    return 2e-9 * static_cast<double>(from.bytes()) / seconds;
  }();
  return limit;
}

// What one run of an operation costs at least.
struct Work {
  double flops = 0;
  double bytes = 0;  // read and written
};

void run(benchmark::State& state, const Work& work, const std::function<void()>& queue) {
  queue();
  bench().stream().synchronize();
  double seconds = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    queue();
    bench().stream().synchronize();
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(passed.count());
    seconds += passed.count();
  }
  const auto runs = static_cast<double>(state.iterations());
  if (work.flops > 0) {
    state.counters["GFLOP/s"] = 1e-9 * work.flops * runs / seconds;
    state.counters["limit"] = gflops_limit();
  } else {
    state.counters["GB/s"] = 1e-9 * work.bytes * runs / seconds;
    state.counters["limit"] = copy_gbps_limit();
  }
}

void add_benchmark(const std::string& name, std::function<void(benchmark::State&)> body) {
  benchmark::RegisterBenchmark(name.c_str(), std::move(body))
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond)
      ->MinTime(0.2);
}

struct Product {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b;
  std::int64_t batch = 1;
};

void matmul(benchmark::State& state, const Product& shape) {
  const Buffer a = bench().floats(shape.batch * shape.m * shape.k);
  const Buffer b = bench().floats(shape.batch * shape.k * shape.n);
  const Buffer c = bench().floats(shape.batch * shape.m * shape.n);
  MatmulArgs args{.a = a.as<float>(), .b = b.as<float>(), .c = c.as<float>()};
  args.m = shape.m;
  args.n = shape.n;
  args.k = shape.k;
  args.transpose_a = shape.transpose_a;
  args.transpose_b = shape.transpose_b;
  args.lda = shape.transpose_a ? shape.m : shape.k;
  args.ldb = shape.transpose_b ? shape.k : shape.n;
  args.ldc = shape.n;
  args.batch = shape.batch;
  args.stride_a = shape.m * shape.k;
  args.stride_b = shape.k * shape.n;
  args.stride_c = shape.m * shape.n;
  const auto products = static_cast<double>(shape.batch * shape.m * shape.n * shape.k);
  run(state, {.flops = 2 * products}, [&] { bench().backend().matmul(bench().stream(), args); });
}

void add_matmuls() {
  // Forward (x W^T), backward to the input (d W) and to the weight (d^T x) of typical layers.
  for (const std::int64_t tokens : {512, 2048}) {
    for (const auto& [in, out] : {std::pair<std::int64_t, std::int64_t>{256, 256},
                                  {256, 1024},
                                  {1024, 256},
                                  {1024, 1024},
                                  {512, 4096},
                                  {4096, 512}}) {
      const Product shapes[] = {{tokens, out, in, false, true},
                                {tokens, in, out, false, false},
                                {out, in, tokens, true, false}};
      const char* kinds[] = {"forward", "to_input", "to_weight"};
      for (int i = 0; i < 3; ++i) {
        const Product shape = shapes[i];
        add_benchmark(fmt::format("matmul/{}/{}x{}x{}", kinds[i], shape.m, shape.n, shape.k),
                      [shape](benchmark::State& state) { matmul(state, shape); });
      }
    }
  }
  const Product half_scores{1024, 128, 64, false, true, 8};
  add_benchmark("matmul/half_scores/8x1024x128x64",
                [half_scores](benchmark::State& state) { matmul(state, half_scores); });
}

void attention(benchmark::State& state, AttentionArgs args, bool backward) {
  const std::int64_t q_size = args.batch * args.sequence * args.heads * args.head_width;
  const std::int64_t kv_size = args.batch * args.sequence * args.kv_heads * args.head_width;
  const Buffer q = bench().floats(q_size), k = bench().floats(kv_size);
  const Buffer v = bench().floats(kv_size), out = bench().floats(q_size);
  const Buffer log_sum = bench().floats(args.batch * args.heads * args.sequence);
  const Buffer d_out = bench().floats(q_size), d_q = bench().floats(q_size);
  const Buffer d_k = bench().floats(kv_size), d_v = bench().floats(kv_size);
  args.q = q.as<float>();
  args.k = k.as<float>();
  args.v = v.as<float>();
  args.out = out.as<float>();
  args.log_sum = log_sum.as<float>();
  args.scale = 0.125f;
  bench().backend().attention(bench().stream(), args);
  // Two products forward and five backward, over half of the matrix.
  const auto scores = static_cast<double>(args.batch * args.heads * args.sequence * args.sequence);
  const double product = scores * static_cast<double>(args.head_width);
  run(state, {.flops = (backward ? 5 : 2) * product}, [&] {
    if (backward) {
      bench().backend().attention_backward(bench().stream(), {.forward = args,
                                                              .d_out = d_out.as<float>(),
                                                              .d_q = d_q.as<float>(),
                                                              .d_k = d_k.as<float>(),
                                                              .d_v = d_v.as<float>()});
    } else {
      bench().backend().attention(bench().stream(), args);
    }
  });
}

void add_attentions() {
  for (const std::int64_t sequence : {256, 1024}) {
    for (const bool backward : {false, true}) {
      AttentionArgs args;
      args.batch = 2048 / sequence;
      args.sequence = sequence;
      args.heads = args.kv_heads = 4;
      args.head_width = 64;
      add_benchmark(
          fmt::format("attention{}/{}x{}x4x64", backward ? "_backward" : "", args.batch, sequence),
          [args, backward](benchmark::State& state) { attention(state, args, backward); });
    }
  }
}

constexpr std::int64_t kTokens = 4096;
constexpr std::int64_t kWidth = 1024;
constexpr std::int64_t kCount = kTokens * kWidth;
constexpr double kArrayBytes = 4.0 * kCount;

// An operation on up to five arrays of [kTokens, kWidth] and a small one.
struct Arrays {
  float *a, *b, *c, *d, *e, *small;
};
using Operation = std::function<void(Backend&, Stream&, const Arrays&)>;

void add_streaming(const std::string& name, double arrays_moved, const Operation& operation) {
  add_benchmark(name, [=](benchmark::State& state) {
    const Buffer a = bench().floats(kCount), b = bench().floats(kCount);
    const Buffer c = bench().floats(kCount), d = bench().floats(kCount);
    const Buffer e = bench().floats(kCount);
    const Buffer small = bench().floats(std::max(kWidth, kTokens));
    const Arrays arrays{a.as<float>(), b.as<float>(), c.as<float>(),
                        d.as<float>(), e.as<float>(), small.as<float>()};
    run(state, {.bytes = arrays_moved * kArrayBytes},
        [&] { operation(bench().backend(), bench().stream(), arrays); });
  });
}

void add_norms() {
  add_streaming("norm", 2, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    backend.norm(stream, {.x = arrays.a,
                          .gain = arrays.small,
                          .out = arrays.b,
                          .inverse = arrays.small,
                          .rows = kTokens,
                          .width = kWidth});
  });
  add_streaming("norm_backward", 3, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    backend.norm_backward(stream, {.x = arrays.a,
                                   .gain = arrays.small,
                                   .inverse = arrays.small,
                                   .d_out = arrays.b,
                                   .d_x = arrays.c,
                                   .d_gain = arrays.d,
                                   .rows = kTokens,
                                   .width = kWidth});
  });
}

void add_elementwise() {
  add_streaming("add", 3, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    backend.add(stream, arrays.a, arrays.b, kCount);
  });
  add_streaming("add_bias", 2, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    backend.add_bias(stream,
                     {.x = arrays.a, .bias = arrays.small, .rows = kTokens, .width = kWidth});
  });
  add_streaming("gated_silu", 3, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    backend.gated_silu(stream,
                       {.gate = arrays.a, .value = arrays.b, .out = arrays.c, .count = kCount});
  });
  add_streaming("gated_silu_backward", 5,
                [](Backend& backend, Stream& stream, const Arrays& arrays) {
                  backend.gated_silu_backward(stream, {.gate = arrays.a,
                                                       .value = arrays.b,
                                                       .d_out = arrays.c,
                                                       .d_gate = arrays.d,
                                                       .d_value = arrays.e,
                                                       .count = kCount});
                });
  add_streaming("rotary", 2, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    RotaryArgs args;
    args.x = arrays.a;
    args.batch = 4;
    args.sequence = kTokens / 4;
    args.heads = kWidth / 64;
    args.head_width = 64;
    args.stride = kWidth;
    backend.rotary(stream, args);
  });
  add_streaming("adamw", 7, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    AdamWArgs args{.parameters = arrays.a, .gradients = arrays.b};
    args.moment1 = arrays.c;
    args.moment2 = arrays.d;
    args.count = kCount;
    args.step = 10;
    args.learning_rate = 1e-4f;
    args.beta1 = 0.9f;
    args.beta2 = 0.95f;
    args.epsilon = 1e-8f;
    backend.adamw(stream, args);
  });
}

void add_reductions() {
  add_streaming("sum_rows", 1, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    backend.sum_rows(stream,
                     {.x = arrays.a, .out = arrays.small, .rows = kTokens, .width = kWidth});
  });
  add_streaming("sum_of_squares", 1, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    backend.sum_of_squares(stream, arrays.a, kCount, reinterpret_cast<double*>(arrays.small));
  });
}

void add_token_operations() {
  constexpr std::int32_t kVocabulary = 16384;
  add_benchmark("cross_entropy/512x16384", [](benchmark::State& state) {
    constexpr std::int64_t kRows = 512;
    const Buffer logits = bench().floats(kRows * kVocabulary), losses = bench().floats(kRows);
    const Buffer targets = bench().token_ids(kRows, kVocabulary);
    run(state, {.bytes = 8.0 * kRows * kVocabulary}, [&] {
      bench().backend().cross_entropy(bench().stream(), {.logits = logits.as<float>(),
                                                         .targets = targets.as<std::int32_t>(),
                                                         .losses = losses.as<float>(),
                                                         .rows = kRows,
                                                         .vocabulary = kVocabulary,
                                                         .d_scale = 1e-3f});
    });
  });
  for (const bool backward : {false, true}) {
    add_benchmark(backward ? "embedding_backward" : "embedding", [=](benchmark::State& state) {
      const Buffer table = bench().floats(kVocabulary * kWidth), out = bench().floats(kCount);
      const Buffer tokens = bench().token_ids(kTokens, kVocabulary);
      const auto* ids = tokens.as<std::int32_t>();
      run(state, {.bytes = (backward ? 3 : 2) * kArrayBytes}, [&] {
        if (backward) {
          bench().backend().embedding_backward(
              bench().stream(),
              {ids, out.as<float>(), table.as<float>(), kTokens, kWidth, kVocabulary});
        } else {
          bench().backend().embedding(bench().stream(), {ids, table.as<float>(), out.as<float>(),
                                                         kTokens, kWidth, kVocabulary});
        }
      });
    });
  }
}

// A mixture of eight experts, whose tokens are spread as those of random logits; PEER's activation.
void add_experts() {
  constexpr std::int64_t kExperts = 8, kHidden = 384, kNarrow = 256;
  for (const bool together : {true, false}) {
    add_benchmark(
        together ? "grouped_matmul/8x512x384x256" : "grouped_matmul/one_by_one",
        [=](benchmark::State& state) {
          const Buffer x = bench().floats(kTokens * kNarrow),
                       out = bench().floats(kTokens * kHidden);
          const Buffer weights = bench().floats(kExperts * kHidden * kNarrow);
          std::vector<MatmulArgs> products;
          for (std::int64_t e = 0; e < kExperts; ++e) {
            const std::int64_t rows = kTokens / kExperts;
            products.push_back(linear_product(
                FloatType::kF32, {.rows = rows, .in = kNarrow, .out = kHidden},
                x.as<float>() + e * rows * kNarrow, weights.as<float>() + e * kHidden * kNarrow,
                {.data = out.as<float>() + e * rows * kHidden}));
          }
          run(state, {.flops = 2.0 * kTokens * kHidden * kNarrow}, [&] {
            if (together) return bench().backend().grouped_matmul(bench().stream(), products);
            for (const MatmulArgs& product : products) {
              bench().backend().matmul(bench().stream(), product);
            }
          });
        });
  }
  add_streaming("expert_activation", 3, [](Backend& backend, Stream& stream, const Arrays& arrays) {
    backend.expert_activation(
        stream, {.weights = arrays.a, .dots = arrays.b, .factors = arrays.c, .count = kCount});
  });
  add_benchmark("route_tokens/4096x8", [](benchmark::State& state) {
    const Buffer logits = bench().floats(kTokens * kExperts), ids = bench().floats(kTokens);
    const Buffer probabilities = bench().floats(kTokens * kExperts);
    const Buffer places = bench().floats(kTokens * kExperts), offsets = bench().floats(kTokens);
    const RouteTokensArgs args{.logits = logits.as<float>(),
                               .probabilities = probabilities.as<float>(),
                               .offsets = offsets.as<std::uint32_t>(),
                               .tokens_of = ids.as<std::uint32_t>(),
                               .places = places.as<std::int32_t>(),
                               .tokens = kTokens,
                               .experts = kExperts};
    run(state, {.bytes = 12.0 * kTokens * kExperts},
        [&] { bench().backend().route_tokens(bench().stream(), args); });
  });
}

// Queueing and running an operation that does next to nothing.
void add_overhead() {
  add_benchmark("overhead/1000_operations", [](benchmark::State& state) {
    const Buffer x = bench().floats(16);
    run(state, {.bytes = 1}, [&] {
      for (int i = 0; i < 1000; ++i) {
        bench().backend().add(bench().stream(), x.as<float>(), x.as<float>(), 16);
      }
    });
  });
}

}  // namespace
}  // namespace mneme::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  mneme::kernels::add_matmuls();
  mneme::kernels::add_attentions();
  mneme::kernels::add_norms();
  mneme::kernels::add_elementwise();
  mneme::kernels::add_reductions();
  mneme::kernels::add_token_operations();
  mneme::kernels::add_experts();
  mneme::kernels::add_overhead();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
