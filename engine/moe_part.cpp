#include "engine/moe_part.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/check.h"
#include "io/error.h"
#include "kernels/linear.h"

namespace mneme::engine {
namespace {

using kernels::FloatType;
using kernels::LinearShape;
using kernels::MatmulArgs;

// Tokens of each expert under expert-choice.
std::int64_t capacity(std::int64_t tokens, std::int64_t experts) {
  return std::max<std::int64_t>(1, tokens / experts);
}

}  // namespace

std::vector<ParameterDeclaration> declare_moe_parameters(const ModelOptions& options,
                                                         const std::string& prefix,
                                                         double residual) {
  const std::int64_t width = options.width, hidden = options.moe.hidden;
  const auto normal = [](std::int64_t fan_in, double scale = 1) {
    return ParameterInit{InitKind::kNormal, scale / std::sqrt(static_cast<double>(fan_in))};
  };
  std::vector<ParameterDeclaration> declarations = {
      {prefix + ".router.weight", {options.moe.experts, width}, normal(width)}};
  for (std::int64_t e = 0; e < options.moe.experts; ++e) {
    const std::string expert = fmt::format("{}.experts.{}", prefix, e);
    declarations.push_back({expert + ".w1.weight", {hidden, width}, normal(width)});
    declarations.push_back({expert + ".w2.weight", {width, hidden}, normal(hidden, residual)});
    declarations.push_back({expert + ".w3.weight", {hidden, width}, normal(width)});
  }
  return declarations;
}

MoePart::MoePart(kernels::Backend& backend, const ModelOptions& options,
                 const Parameters& parameters, const std::string& prefix)
    : backend_(backend),
      options_(options.moe),
      tokens_(options.tokens()),
      width_(options.width),
      hidden_(options.moe.hidden),
      most_assignments_(
          std::max(tokens_, options.moe.experts * capacity(options.tokens(), options.moe.experts))),
      type_(backend.compute_type()),
      router_(parameters.weight(prefix + ".router.weight")),
      d_router_(parameters.gradient(prefix + ".router.weight")),
      probabilities_(backend, tokens_ * options_.experts),
      places_(backend, tokens_ * options_.experts),
      tokens_of_(backend, most_assignments_),
      offsets_(backend, options_.experts + 1),
      host_offsets_(kernels::pinned_array<std::uint32_t>(backend, options_.experts + 1)),
      inputs_(backend, most_assignments_ * width_, type_),
      gate_(backend, most_assignments_ * hidden_, type_),
      value_(backend, most_assignments_ * hidden_, type_),
      product_(backend, most_assignments_ * hidden_, type_),
      outputs_(backend, most_assignments_ * width_, type_),
      routed_(backend.create_event()),
      counts_(static_cast<std::size_t>(options_.experts)) {
  for (std::int64_t e = 0; e < options_.experts; ++e) {
    const std::string expert = fmt::format("{}.experts.{}", prefix, e);
    experts_.push_back({.w1 = parameters.weight(expert + ".w1.weight"),
                        .w2 = parameters.weight(expert + ".w2.weight"),
                        .w3 = parameters.weight(expert + ".w3.weight"),
                        .d_w1 = parameters.gradient(expert + ".w1.weight"),
                        .d_w2 = parameters.gradient(expert + ".w2.weight"),
                        .d_w3 = parameters.gradient(expert + ".w3.weight")});
  }
}

std::size_t MoePart::scratch_bytes() const {
  const std::int64_t pairs = tokens_ * options_.experts;
  return ScratchPieces::bytes(most_assignments_ * width_, type_) +
         2 * ScratchPieces::bytes(most_assignments_ * hidden_, type_) +
         ScratchPieces::bytes(most_assignments_ * width_, FloatType::kF32) +
         ScratchPieces::bytes(pairs, FloatType::kF32) + ScratchPieces::bytes(pairs, type_);
}

void MoePart::route(const PartCall& call, const void* x) {
  const bool chooses = call.training && options_.routing == kernels::Routing::kExpertChoice;
  routing_ = {
      .routing = chooses ? kernels::Routing::kExpertChoice : kernels::Routing::kTopOne,
      .logits = probabilities_.data(),
      .probabilities = probabilities_.data(),
      .offsets = offsets_.data(),
      .tokens_of = tokens_of_.data(),
      .places = places_.data(),
      .tokens = call.tokens(),
      .experts = options_.experts,
      .capacity = capacity(call.tokens(), options_.experts),
  };
  linear(backend_, call.stream, {call.tokens(), width_, options_.experts}, x, router_,
         {.data = probabilities_.data()});
  backend_.route_tokens(call.stream, routing_);
  backend_.copy(call.stream, host_offsets_.data(), offsets_.data(),
                kernels::DeviceArray<std::uint32_t>::bytes(options_.experts + 1));
  call.stream.record(*routed_);
}

template <typename Make>
void MoePart::multiply(kernels::Stream& stream, const Make& make) {
  std::vector<MatmulArgs> products;
  for (std::int64_t e = 0; e < options_.experts; ++e) {
    const std::int64_t first = host_offsets_.data()[e];
    const std::int64_t rows = host_offsets_.data()[e + 1] - first;
    if (rows > 0) make(experts_[static_cast<std::size_t>(e)], first, rows, products);
  }
  backend_.grouped_matmul(stream, products);
}

void* MoePart::row(void* array, std::int64_t first, std::int64_t width, FloatType type) const {
  return static_cast<std::byte*>(array) +
         static_cast<std::size_t>(first * width) * kernels::float_type_bytes(type);
}

void* MoePart::row(const kernels::FloatArray& array, std::int64_t first, std::int64_t width) const {
  return row(array.data(), first, width, type_);
}

kernels::CombineExpertsArgs MoePart::combination() const {
  return {.type = type_,
          .y = outputs_.data(),
          .probabilities = probabilities_.data(),
          .places = places_.data(),
          .tokens = routing_.tokens,
          .experts = options_.experts,
          .width = width_};
}

void MoePart::forward(const PartCall& call, const void* x, float* out) {
  CHECK(call.tokens() <= tokens_, "{} tokens, room for {}", call.tokens(), tokens_);
  x_ = x;
  route(call, x);
  const std::int64_t assignments = routing_.assignments();
  backend_.gather_tokens(call.stream, {.type = type_,
                                       .x = x,
                                       .tokens_of = tokens_of_.data(),
                                       .out = inputs_.data(),
                                       .assignments = assignments,
                                       .width = width_});
  if (!routed_->reached()) routed_->synchronize();
  multiply(call.stream, [&](const Expert& expert, std::int64_t first, std::int64_t rows,
                            std::vector<MatmulArgs>& products) {
    const LinearShape up{rows, width_, hidden_};
    const void* const input = row(inputs_, first, width_);
    products.push_back(
        linear_product(type_, up, input, expert.w1, {row(gate_, first, hidden_), type_}));
    products.push_back(
        linear_product(type_, up, input, expert.w3, {row(value_, first, hidden_), type_}));
  });
  backend_.gated_silu(call.stream, {.type = type_,
                                    .value_type = type_,
                                    .gate = gate_.data(),
                                    .value = value_.data(),
                                    .out = product_.data(),
                                    .count = assignments * hidden_});
  multiply(call.stream, [&](const Expert& expert, std::int64_t first, std::int64_t rows,
                            std::vector<MatmulArgs>& products) {
    products.push_back(linear_product(type_, {rows, hidden_, width_}, row(product_, first, hidden_),
                                      expert.w2, {row(outputs_, first, width_), type_}));
  });
  kernels::CombineExpertsArgs combine = combination();
  combine.out = out;
  backend_.combine_experts(call.stream, combine);
  if (!call.training) return;
  for (std::size_t e = 0; e < counts_.size(); ++e) {
    counts_[e] += host_offsets_.data()[e + 1] - host_offsets_.data()[e];
  }
}

void MoePart::backward(const PartCall& call, const float* d_out, float* d_x) {
  const std::int64_t tokens = routing_.tokens, experts = options_.experts;
  const std::int64_t assignments = routing_.assignments();
  ScratchPieces scratch(call.scratch);
  void* d_outputs = scratch.take(most_assignments_ * width_, type_);
  // First the product's gradient, then in its place the gate's.
  void* d_gate = scratch.take(most_assignments_ * hidden_, type_);
  void* d_value = scratch.take(most_assignments_ * hidden_, type_);
  auto* d_inputs = static_cast<float*>(scratch.take(most_assignments_ * width_, FloatType::kF32));
  auto* d_logits = static_cast<float*>(scratch.take(tokens * experts, FloatType::kF32));

  const bool balances = routing_.routing == kernels::Routing::kTopOne;
  const double of_pair = call.loss_scale * options_.balance_loss * static_cast<double>(experts) /
                         static_cast<double>(tokens) / static_cast<double>(tokens);
  backend_.combine_experts_backward(call.stream,
                                    {.forward = combination(),
                                     .offsets = offsets_.data(),
                                     .d_out = d_out,
                                     .d_y = d_outputs,
                                     .d_probabilities = d_logits,
                                     .balance = balances ? static_cast<float>(of_pair) : 0.0f});
  multiply(call.stream, [&](const Expert& expert, std::int64_t first, std::int64_t rows,
                            std::vector<MatmulArgs>& products) {
    const LinearShape down{rows, hidden_, width_};
    const void* const d_y = row(d_outputs, first, width_, type_);
    products.push_back(
        linear_weight_product(type_, down, d_y, row(product_, first, hidden_), expert.d_w2));
    products.push_back(linear_input_product(type_, down, d_y, expert.w2,
                                            {row(d_gate, first, hidden_, type_), type_}));
  });
  backend_.gated_silu_backward(call.stream, {.type = type_,
                                             .value_type = type_,
                                             .gate = gate_.data(),
                                             .value = value_.data(),
                                             .d_out = d_gate,
                                             .d_gate = d_gate,
                                             .d_value = d_value,
                                             .count = assignments * hidden_});
  multiply(call.stream, [&](const Expert& expert, std::int64_t first, std::int64_t rows,
                            std::vector<MatmulArgs>& products) {
    const LinearShape up{rows, width_, hidden_};
    const void* const input = row(inputs_, first, width_);
    const void* const d_g = row(d_gate, first, hidden_, type_);
    const void* const d_v = row(d_value, first, hidden_, type_);
    products.push_back(linear_weight_product(type_, up, d_g, input, expert.d_w1));
    products.push_back(linear_weight_product(type_, up, d_v, input, expert.d_w3));
    products.push_back(
        linear_input_product(type_, up, d_g, expert.w1, {.data = d_inputs + first * width_}));
  });
  multiply(call.stream, [&](const Expert& expert, std::int64_t first, std::int64_t rows,
                            std::vector<MatmulArgs>& products) {
    products.push_back(
        linear_input_product(type_, {rows, width_, hidden_}, row(d_value, first, hidden_, type_),
                             expert.w3, {.data = d_inputs + first * width_, .accumulate = true}));
  });
  backend_.softmax_backward(call.stream, {.weights = probabilities_.data(),
                                          .d_weights = d_logits,
                                          .d_scores = d_logits,
                                          .groups = tokens,
                                          .knn = experts});
  const void* d_routes = as_compute_type(backend_, call, d_logits, experts, scratch);
  const LinearShape router{tokens, width_, experts};
  linear_weight_gradient(backend_, call.stream, router, d_routes, x_, d_router_);
  linear_input_gradient(backend_, call.stream, router, d_routes, router_, {.data = d_x});
  kernels::CombineExpertsArgs sum = combination();
  sum.type = FloatType::kF32;
  sum.y = d_inputs;
  sum.probabilities = nullptr;
  sum.out = d_x;
  backend_.combine_experts(call.stream, sum);
}

std::vector<std::uint64_t> MoePart::take_counts() {
  return std::exchange(counts_, std::vector<std::uint64_t>(counts_.size()));
}

}  // namespace mneme::engine
