// Operations of experts: those of PEER at 4096 tokens with 128 look-ups, a mixture of 16 experts at
// the sizes of a 134M model.
#include <vector>

#include "kernels/linear.h"
#include "tests/gpu_benchmark/bench.h"

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

constexpr std::int64_t kExperts = 16, kWidth = 768, kHidden = 2048;

std::int64_t tokens() {
  return shrunk(32768, kExperts);
}

void expert_activation(benchmark::State& state, bool backward) {
  Bench bench;
  const std::int64_t count = shrunk(4096) * 128;
  const auto numbers = [&] { return static_cast<float*>(bench.normal(count, FloatType::kF32)); };
  kernels::ExpertActivationBackwardArgs args{
      .weights = numbers(), .dots = numbers(), .d_factors = numbers()};
  args.d_weights = numbers();
  args.d_dots = numbers();
  args.count = count;
  time_operation(state, bench, {.bytes = static_cast<double>(count) * (backward ? 20 : 12)}, [&] {
    if (backward) {
      bench.backend().expert_activation_backward(bench.stream(), args);
    } else {
      bench.backend().expert_activation(
          bench.stream(),
          {.weights = args.weights, .dots = args.dots, .factors = args.d_dots, .count = count});
    }
  });
}

// Tokens, their routing, and arrays of a row for each of them.
struct Mixture {
  Bench bench;
  kernels::RouteTokensArgs route;
  void* x = bench.normal(tokens() * kWidth, FloatType::kBF16);
  void* y = bench.normal(tokens() * kWidth, FloatType::kBF16);
  float* out = bench.floats(tokens() * kWidth);

  explicit Mixture(kernels::Routing routing = kernels::Routing::kTopOne) {
    const std::int64_t pairs = tokens() * kExperts;
    route = {.routing = routing,
             .logits = static_cast<float*>(bench.normal(pairs, FloatType::kF32)),
             .probabilities = bench.floats(pairs),
             .offsets = bench.make<std::uint32_t>(kExperts + 1),
             .tokens_of = bench.make<std::uint32_t>(tokens()),
             .places = bench.make<std::int32_t>(pairs),
             .tokens = tokens(),
             .experts = kExperts,
             .capacity = tokens() / kExperts};
    bench.backend().route_tokens(bench.stream(), route);
    bench.stream().synchronize();
  }
  kernels::CombineExpertsArgs combine() const {
    return {.type = FloatType::kBF16,
            .y = y,
            .probabilities = route.probabilities,
            .places = route.places,
            .out = out,
            .tokens = tokens(),
            .experts = kExperts,
            .width = kWidth};
  }
};

// Logits, probabilities and places of all pairs; sorts beside them.
void route_tokens(benchmark::State& state, kernels::Routing routing) {
  Mixture mixture(routing);
  const auto pairs = static_cast<double>(tokens() * kExperts);
  const double sorts = routing == kernels::Routing::kTopOne ? 0 : 5 * 24 * pairs;
  time_operation(state, mixture.bench, {.bytes = 12 * pairs + sorts}, [&] {
    mixture.bench.backend().route_tokens(mixture.bench.stream(), mixture.route);
  });
}

void gather_tokens(benchmark::State& state) {
  Mixture mixture;
  const kernels::GatherTokensArgs args{.type = FloatType::kBF16,
                                       .x = mixture.x,
                                       .tokens_of = mixture.route.tokens_of,
                                       .out = mixture.y,
                                       .assignments = tokens(),
                                       .width = kWidth};
  time_operation(state, mixture.bench, {.bytes = static_cast<double>(tokens() * kWidth) * 4},
                 [&] { mixture.bench.backend().gather_tokens(mixture.bench.stream(), args); });
}

void combine_experts(benchmark::State& state, bool backward) {
  Mixture mixture;
  Bench& bench = mixture.bench;
  const auto numbers = static_cast<double>(tokens() * kWidth);
  const kernels::CombineExpertsBackwardArgs args{
      .forward = mixture.combine(),
      .offsets = mixture.route.offsets,
      .d_out = mixture.out,
      .d_y = mixture.x,
      .d_probabilities = bench.floats(tokens() * kExperts)};
  const double bytes = backward ? 8 : 10;  // of a number
  time_operation(state, bench, {.bytes = numbers * bytes}, [&] {
    if (backward) {
      bench.backend().combine_experts_backward(bench.stream(), args);
    } else {
      bench.backend().combine_experts(bench.stream(), args.forward);
    }
  });
}

// As many tokens for each expert: out = x weight^T.
void grouped_matmul(benchmark::State& state) {
  Bench bench;
  const std::int64_t each = tokens() / kExperts;
  std::vector<kernels::MatmulArgs> products;
  for (std::int64_t e = 0; e < kExperts; ++e) {
    products.push_back(kernels::linear_product(
        FloatType::kBF16, {.rows = each, .in = kWidth, .out = kHidden},
        bench.normal(each * kWidth, FloatType::kBF16),
        bench.normal(kWidth * kHidden, FloatType::kBF16),
        {bench.normal(each * kHidden, FloatType::kBF16), FloatType::kBF16}));
  }
  const Work work{.bytes = 2.0 * static_cast<double>(tokens() * (kWidth + kHidden) +
                                                     kExperts * kWidth * kHidden),
                  .flops = 2.0 * static_cast<double>(tokens() * kWidth) * kHidden};
  time_operation(state, bench, work,
                 [&] { bench.backend().grouped_matmul(bench.stream(), products); });
}

}  // namespace

void add_experts() {
  add("expert_activation/512k", [](benchmark::State& state) { expert_activation(state, false); });
  add("expert_activation_backward/512k",
      [](benchmark::State& state) { expert_activation(state, true); });
  for (const auto& routing : enum_names(kernels::Routing{})) {
    add("route_tokens/" + std::string(routing.name) + "/32k_x_16",
        [value = routing.value](benchmark::State& state) { route_tokens(state, value); });
  }
  add("gather_tokens/bf16/32k_x_768", gather_tokens);
  add("combine_experts/bf16/32k_x_768",
      [](benchmark::State& state) { combine_experts(state, false); });
  add("combine_experts_backward/bf16/32k_x_768",
      [](benchmark::State& state) { combine_experts(state, true); });
  add("grouped_matmul/bf16/16_x_2048_x_2048_x_768", grouped_matmul);
}

}  // namespace mneme::gpu_benchmark
