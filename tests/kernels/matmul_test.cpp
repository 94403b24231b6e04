#include "tests/kernels/oracle/matmul.h"
#include "tests/kernels/operation_checks.h"

namespace mneme::testing {
namespace {

// Dense unless `padding` is given: extra elements at the end of every row and batch.
kernels::MatmulArgs product(std::int64_t m, std::int64_t n, std::int64_t k,
                            std::int64_t padding = 0) {
  kernels::MatmulArgs args;
  args.m = m;
  args.n = n;
  args.k = k;
  args.lda = k + padding;
  args.ldb = n + padding;
  args.ldc = n + padding;
  return args;
}

kernels::MatmulArgs transposed(kernels::MatmulArgs args, bool a, bool b) {
  const std::int64_t padding = args.ldc - args.n;
  args.transpose_a = a;
  args.transpose_b = b;
  args.lda = (a ? args.m : args.k) + padding;
  args.ldb = (b ? args.k : args.n) + padding;
  return args;
}

kernels::MatmulArgs accumulated(kernels::MatmulArgs args, float alpha) {
  args.accumulate = true;
  args.alpha = alpha;
  return args;
}

kernels::MatmulArgs batched(kernels::MatmulArgs args, std::int64_t batch) {
  args.batch = batch;
  args.stride_a = (args.transpose_a ? args.k : args.m) * args.lda + 3;
  args.stride_b = (args.transpose_b ? args.n : args.k) * args.ldb + 5;
  args.stride_c = args.m * args.ldc + 7;
  return args;
}

using kernels::FloatType;

kernels::MatmulArgs bf16(kernels::MatmulArgs args, FloatType output) {
  args.input_type = FloatType::kBF16;
  args.output_type = output;
  return args;
}

OperationCase matmul_case(const std::string& name, const kernels::MatmulArgs& args) {
  Numbers numbers(7);
  const std::int64_t a_size = (args.transpose_a ? args.k : args.m) * args.lda;
  const std::int64_t b_size = (args.transpose_b ? args.n : args.k) * args.ldb;
  const std::int64_t c_size = args.m * args.ldc;
  const std::int64_t last = args.batch - 1;
  OperationCase operation;
  operation.name = name;
  const FloatType input = args.input_type;
  operation.tensors = {float_tensor("a", numbers.normal(last * args.stride_a + a_size), input),
                       float_tensor("b", numbers.normal(last * args.stride_b + b_size), input)};
  const std::int64_t c_total = last * args.stride_c + c_size;
  const Values c = args.accumulate ? numbers.normal(c_total) : garbage(c_total);
  operation.tensors.push_back(float_tensor("c", c, args.output_type));
  // Products of bf16 numbers are exact, and their sums float32 or wider.
  if (args.output_type == FloatType::kBF16) operation.tolerance = kBf16Rounding;
  operation.run = [args](kernels::Backend& backend, kernels::Stream& stream,
                         const DeviceTensors& tensors) {
    kernels::MatmulArgs own = args;
    own.a = tensors["a"];
    own.b = tensors["b"];
    own.c = tensors["c"];
    backend.matmul(stream, own);
  };
  operation.oracle = [args](OracleTensors& tensors) {
    oracle::matmul(args, tensors["a"], tensors["b"], tensors["c"]);
  };
  return operation;
}

std::vector<OperationCase> matmul_cases() {
  const kernels::MatmulArgs odd = product(37, 19, 53, 3);
  const kernels::MatmulArgs tall = product(613, 41, 67);
  const kernels::MatmulArgs wide = product(31, 1201, 43, 1);
  kernels::MatmulArgs no_terms = product(5, 6, 0, 2);
  no_terms.lda = 1;
  return {
      matmul_case("one_by_one", product(1, 1, 1)),
      matmul_case("odd", odd),
      matmul_case("odd_a_transposed", transposed(odd, true, false)),
      matmul_case("odd_b_transposed", transposed(odd, false, true)),
      matmul_case("odd_both_transposed", transposed(odd, true, true)),
      matmul_case("accumulate_scaled", accumulated(odd, -0.75f)),
      matmul_case("tall_strips", tall),
      matmul_case("tall_strips_a_transposed", transposed(tall, true, false)),
      matmul_case("tall_accumulated", accumulated(transposed(tall, false, true), 1.0f)),
      matmul_case("wide_strips", wide),
      matmul_case("wide_strips_both_transposed", transposed(wide, true, true)),
      matmul_case("row_vector", product(1, 700, 900)),
      matmul_case("column_vector", transposed(product(900, 1, 700), false, true)),
      matmul_case("batch_of_small", batched(product(9, 7, 5, 1), 50)),
      matmul_case("batch_of_two", batched(accumulated(transposed(tall, true, true), 2.0f), 2)),
      matmul_case("no_terms", no_terms),
      matmul_case("no_terms_accumulated", accumulated(no_terms, 1.0f)),
  };
}

std::vector<OperationCase> bf16_cases() {
  const kernels::MatmulArgs odd = product(37, 19, 53, 3);
  const kernels::MatmulArgs even = product(64, 48, 96);
  std::vector<OperationCase> cases;
  for (const FloatType output : {FloatType::kF32, FloatType::kBF16}) {
    const auto add = [&](const std::string& name, const kernels::MatmulArgs& args) {
      const std::string to = output == FloatType::kF32 ? "bf16_to_f32_" : "bf16_";
      cases.push_back(matmul_case(to + name, bf16(args, output)));
    };
    add("one_by_one", product(1, 1, 1));
    for (const bool a : {false, true}) {
      for (const bool b : {false, true}) {
        const std::string which =
            std::string(a ? "_a" : "") + (b ? "_b" : "") + (a || b ? "_transposed" : "");
        add("odd" + which, transposed(odd, a, b));
        add("even" + which, transposed(even, a, b));
      }
    }
    add("accumulate_scaled", accumulated(odd, -0.75f));
    add("long_sum_accumulated", accumulated(product(5, 7, 3000), 1.0f));
    add("batch", batched(product(9, 7, 5, 1), 20));
    add("batch_accumulated", batched(accumulated(transposed(odd, true, true), 2.0f), 3));
    kernels::MatmulArgs no_terms = product(5, 6, 0, 2);
    no_terms.lda = 1;
    add("no_terms", no_terms);
    add("no_terms_accumulated", accumulated(no_terms, 1.0f));
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(MatmulBf16, OperationTest, on_bf16_backends(bf16_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Matmul, OperationTest, on_every_backend(matmul_cases()), case_name);

}  // namespace
}  // namespace mneme::testing
