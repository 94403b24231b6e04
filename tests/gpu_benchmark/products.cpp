// Matrix products at the shapes of a 134M model, with bf16 operands.
#include "tests/gpu_benchmark/bench.h"

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

void product(benchmark::State& state, kernels::MatmulArgs args) {
  Bench bench;
  args.input_type = FloatType::kBF16;
  args.a = bench.normal(args.m * args.k, FloatType::kBF16);
  args.b = bench.normal(args.k * args.n, FloatType::kBF16);
  args.c = bench.normal(args.m * args.n, args.output_type);
  args.lda = args.transpose_a ? args.m : args.k;
  args.ldb = args.transpose_b ? args.k : args.n;
  args.ldc = args.n;
  const auto written = static_cast<double>(kernels::float_type_bytes(args.output_type)) *
                       static_cast<double>(args.m * args.n);
  const Work work{
      .bytes = 2.0 * static_cast<double>(args.m * args.k + args.k * args.n) +
               written * (args.accumulate ? 2 : 1),
      .flops = 2.0 * static_cast<double>(args.m * args.n) * static_cast<double>(args.k)};
  time_operation(state, bench, work, [&] { bench.backend().matmul(bench.stream(), args); });
}

}  // namespace

// Named by m x n x k. Weights lie as [out, in].
void add_products() {
  const std::int64_t tokens = shrunk(32768);
  const auto add_product = [](const std::string& name, const kernels::MatmulArgs& args) {
    add("matmul/bf16/" + name, [=](benchmark::State& state) { product(state, args); });
  };
  const FloatType bf16 = FloatType::kBF16, float32 = FloatType::kF32;
  add_product("32768_x_768_x_768",
              {.output_type = bf16, .m = tokens, .n = 768, .k = 768, .transpose_b = true});
  add_product("32768_x_2048_x_768",
              {.output_type = bf16, .m = tokens, .n = 2048, .k = 768, .transpose_b = true});
  add_product("768_x_768_x_32768/weight_gradient", {.output_type = float32,
                                                    .m = 768,
                                                    .n = 768,
                                                    .k = tokens,
                                                    .transpose_a = true,
                                                    .accumulate = true});
  add_product(
      "512_x_32000_x_768/head",
      {.output_type = float32, .m = shrunk(512), .n = 32000, .k = 768, .transpose_b = true});
}

}  // namespace mneme::gpu_benchmark
