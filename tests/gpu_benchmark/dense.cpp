// Dense operations at the sizes of a 134M model: 32k tokens, width 768, vocabulary 32000.
#include <fmt/format.h>

#include <cmath>
#include <random>
#include <set>

#include "tests/gpu_benchmark/bench.h"

namespace mneme::gpu_benchmark {
namespace {

using kernels::FloatType;

constexpr std::int64_t kWidth = 768, kHidden = 2048, kHeads = 12, kSequence = 2048;
constexpr std::int64_t kVocabulary = 32000;

std::int64_t batch() {
  return shrunk(16);
}
std::int64_t sequence() {
  return shrunk(kSequence, 64);
}
std::int64_t tokens() {
  return batch() * sequence();
}

// Multiply-adds of causal attention count for the lower triangle only.
double attention_flops(double products) {
  const auto length = static_cast<double>(sequence());
  return products * 2 * static_cast<double>(batch() * kWidth) * length * length / 2;
}

struct AttentionBench {
  Bench bench;
  std::int64_t count = tokens() * kWidth;
  kernels::AttentionBackwardArgs args;

  AttentionBench() {
    args.forward = {.type = FloatType::kBF16,
                    .q = bench.normal(count, FloatType::kBF16),
                    .k = bench.normal(count, FloatType::kBF16),
                    .v = bench.normal(count, FloatType::kBF16),
                    .out = bench.normal(count, FloatType::kBF16),
                    .log_sum = bench.floats(tokens() * kHeads),
                    .batch = batch(),
                    .sequence = sequence(),
                    .heads = kHeads,
                    .kv_heads = kHeads,
                    .head_width = kWidth / kHeads,
                    .scale = 1.0f / std::sqrt(static_cast<float>(kWidth / kHeads))};
    args.d_out = bench.normal(count, FloatType::kBF16);
    args.d_q = bench.normal(count, FloatType::kBF16);
    args.d_k = bench.normal(count, FloatType::kBF16);
    args.d_v = bench.normal(count, FloatType::kBF16);
  }
};

void attention(benchmark::State& state) {
  AttentionBench attention;
  time_operation(state, attention.bench, {.flops = attention_flops(2)}, [&] {
    attention.bench.backend().attention(attention.bench.stream(), attention.args.forward);
  });
}

void attention_backward(benchmark::State& state) {
  AttentionBench attention;
  attention.bench.backend().attention(attention.bench.stream(), attention.args.forward);
  time_operation(state, attention.bench, {.flops = attention_flops(5)}, [&] {
    attention.bench.backend().attention_backward(attention.bench.stream(), attention.args);
  });
}

void norm(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = tokens() * kWidth;
  const kernels::NormArgs args{.x = static_cast<float*>(bench.normal(count, FloatType::kF32)),
                               .gain = static_cast<float*>(bench.normal(kWidth, FloatType::kF32)),
                               .out = bench.normal(count, FloatType::kBF16),
                               .out_type = FloatType::kBF16,
                               .inverse = bench.floats(tokens()),
                               .rows = tokens(),
                               .width = kWidth};
  time_operation(state, bench, {.bytes = static_cast<double>(count) * 6},
                 [&] { bench.backend().norm(bench.stream(), args); });
}

void norm_backward(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = tokens() * kWidth;
  const auto numbers = [&] { return static_cast<float*>(bench.normal(count, FloatType::kF32)); };
  const kernels::NormBackwardArgs args{
      .x = numbers(),
      .gain = static_cast<float*>(bench.normal(kWidth, FloatType::kF32)),
      .inverse = static_cast<float*>(bench.normal(tokens(), FloatType::kF32)),
      .d_out = numbers(),
      .d_x = numbers(),
      .d_gain = bench.floats(kWidth),
      .rows = tokens(),
      .width = kWidth,
      .accumulate = true};
  time_operation(state, bench, {.bytes = static_cast<double>(count) * 16},
                 [&] { bench.backend().norm_backward(bench.stream(), args); });
}

void gated_silu(benchmark::State& state, bool backward) {
  Bench bench;
  const std::int64_t count = tokens() * kHidden;
  const auto numbers = [&] { return bench.normal(count, FloatType::kBF16); };
  kernels::GatedSiluBackwardArgs args{.type = FloatType::kBF16, .value_type = FloatType::kBF16};
  args.gate = numbers();
  args.value = numbers();
  args.d_out = numbers();
  args.d_gate = numbers();
  args.d_value = numbers();
  args.count = count;
  time_operation(state, bench, {.bytes = static_cast<double>(count) * (backward ? 10 : 6)}, [&] {
    if (backward) {
      bench.backend().gated_silu_backward(bench.stream(), args);
    } else {
      bench.backend().gated_silu(bench.stream(), {.type = FloatType::kBF16,
                                                  .value_type = FloatType::kBF16,
                                                  .gate = args.gate,
                                                  .value = args.value,
                                                  .out = args.d_gate,
                                                  .count = count});
    }
  });
}

void cross_entropy(benchmark::State& state) {
  Bench bench;
  const std::int64_t rows = shrunk(512);
  const kernels::CrossEntropyArgs args{
      .logits = static_cast<float*>(bench.normal(rows * kVocabulary, FloatType::kF32)),
      .gradient_type = FloatType::kBF16,
      .targets = bench.make<std::int32_t>(rows),
      .losses = bench.floats(rows),
      .rows = rows,
      .vocabulary = kVocabulary,
      .d_scale = 1.0f};
  time_operation(state, bench, {.bytes = static_cast<double>(rows * kVocabulary) * 6},
                 [&] { bench.backend().cross_entropy(bench.stream(), args); });
}

void adamw(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = shrunk(134'000'000, 4);
  kernels::AdamWArgs args;
  args.parameters = static_cast<float*>(bench.normal(count, FloatType::kF32));
  args.gradients = static_cast<float*>(bench.normal(count, FloatType::kF32));
  args.moment1 = bench.floats(count);
  args.moment2 = bench.floats(count);
  args.count = count;
  args.step = 10;
  args.learning_rate = 1e-5f;
  args.beta1 = 0.9f;
  args.beta2 = 0.95f;
  args.epsilon = 1e-8f;
  time_operation(state, bench, {.bytes = static_cast<double>(count) * 28},
                 [&] { bench.backend().adamw(bench.stream(), args); });
}

void rotary(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = tokens() * kWidth;
  const kernels::RotaryArgs args{.x = bench.normal(count, FloatType::kBF16),
                                 .type = FloatType::kBF16,
                                 .batch = batch(),
                                 .sequence = sequence(),
                                 .heads = kHeads,
                                 .head_width = kWidth / kHeads,
                                 .stride = kWidth};
  time_operation(state, bench, {.bytes = static_cast<double>(count) * 4},
                 [&] { bench.backend().rotary(bench.stream(), args); });
}

void convert(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = shrunk(134'000'000, 8);
  const kernels::ConvertArgs args{.source = bench.normal(count, FloatType::kF32),
                                  .target = bench.normal(count, FloatType::kBF16),
                                  .target_type = FloatType::kBF16,
                                  .count = count};
  time_operation(state, bench, {.bytes = static_cast<double>(count) * 6},
                 [&] { bench.backend().convert(bench.stream(), args); });
}

void sum_rows(benchmark::State& state) {
  Bench bench;
  const std::int64_t count = tokens() * kWidth;
  const kernels::SumRowsArgs args{.x = bench.normal(count, FloatType::kBF16),
                                  .type = FloatType::kBF16,
                                  .out = bench.floats(kWidth),
                                  .rows = tokens(),
                                  .width = kWidth};
  time_operation(state, bench, {.bytes = static_cast<double>(count) * 2},
                 [&] { bench.backend().sum_rows(bench.stream(), args); });
}

void embedding_backward(benchmark::State& state, std::int64_t vocabulary) {
  Bench bench;
  const std::int64_t count = shrunk(32768);
  std::mt19937 random(1);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  for (auto& id : ids) id = static_cast<std::int32_t>(random() % vocabulary);
  const auto distinct =
      static_cast<std::int64_t>(std::set<std::int32_t>(ids.begin(), ids.end()).size());
  const kernels::EmbeddingBackwardArgs args{
      .tokens = bench.upload(ids),
      .d_out = static_cast<float*>(bench.normal(count * kWidth, FloatType::kF32)),
      .d_table = bench.floats(vocabulary * kWidth),
      .count = count,
      .width = kWidth,
      .vocabulary = vocabulary};
  time_operation(state, bench, {.bytes = static_cast<double>((count * 4 + distinct * 8) * kWidth)},
                 [&] { bench.backend().embedding_backward(bench.stream(), args); });
}

}  // namespace

void add_dense() {
  add("attention/bf16/16_x_2048/12_heads_of_64", attention);
  add("attention_backward/bf16/16_x_2048/12_heads_of_64", attention_backward);
  add("norm/32k_x_768", norm);
  add("norm_backward/32k_x_768", norm_backward);
  add("gated_silu/32k_x_2048", [](benchmark::State& state) { gated_silu(state, false); });
  add("gated_silu_backward/32k_x_2048", [](benchmark::State& state) { gated_silu(state, true); });
  add("cross_entropy/512_x_32000", cross_entropy);
  add("adamw/134M", adamw);
  add("rotary/bf16/32k_x_12_x_64", rotary);
  add("convert/bf16/134M", convert);
  add("sum_rows/bf16/32k_x_768", sum_rows);
  for (const std::int64_t vocabulary : {std::int64_t{256}, kVocabulary}) {
    add(fmt::format("embedding_backward/32k_x_768/{}", vocabulary),
        [=](benchmark::State& state) { embedding_backward(state, vocabulary); });
  }
}

}  // namespace mneme::gpu_benchmark
