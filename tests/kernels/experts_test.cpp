#include <algorithm>
#include <numeric>

#include "tests/kernels/operation_checks.h"
#include "tests/kernels/operation_run.h"
#include "tests/kernels/oracle/experts.h"
#include "tests/kernels/oracle/matmul.h"

namespace mneme::testing {
namespace {

using kernels::FloatType;
using kernels::Routing;
using oracle::MixtureShape;

OperationCase activation_case(const std::string& name, std::int64_t count, double spread) {
  Numbers numbers(43);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {{"weights", numbers.normal(count)},
                       {"dots", numbers.normal(count, spread)},
                       {"factors", garbage(count)}};
  operation.run = [count](kernels::Backend& backend, kernels::Stream& stream,
                          const DeviceTensors& tensors) {
    backend.expert_activation(stream, {.weights = tensors["weights"],
                                       .dots = tensors["dots"],
                                       .factors = tensors["factors"],
                                       .count = count});
  };
  operation.oracle = [](OracleTensors& t) {
    oracle::expert_activation(t["weights"], t["dots"], t["factors"]);
  };
  return operation;
}

// With `in_place`, d_weights takes the place of d_factors.
OperationCase activation_backward_case(const std::string& name, std::int64_t count, double spread,
                                       bool in_place) {
  Numbers numbers(47);
  const std::string d_weights = in_place ? "d_factors" : "d_weights";
  OperationCase operation = activation_case(name, count, spread);
  operation.differentiation.forward = operation.oracle;
  operation.tensors.push_back({"d_factors", numbers.normal(count)});
  operation.tensors.push_back({"d_dots", garbage(count)});
  if (!in_place) operation.tensors.push_back({"d_weights", garbage(count)});
  operation.run = [count, d_weights](kernels::Backend& backend, kernels::Stream& stream,
                                     const DeviceTensors& tensors) {
    backend.expert_activation_backward(stream, {.weights = tensors["weights"],
                                                .dots = tensors["dots"],
                                                .d_factors = tensors["d_factors"],
                                                .d_weights = tensors[d_weights],
                                                .d_dots = tensors["d_dots"],
                                                .count = count});
  };
  operation.oracle = [d_weights](OracleTensors& t) {
    oracle::expert_activation_backward(t["weights"], t["dots"], t["d_factors"], t[d_weights],
                                       t["d_dots"]);
  };
  operation.differentiation.outputs = {{"factors", "d_factors"}};
  operation.differentiation.inputs = {{"dots", "d_dots"}, {"weights", d_weights}};
  return operation;
}

// Far apart, so that float32 finds the order that float64 does; some of them equal.
Values distinct_logits(const MixtureShape& shape) {
  Values logits(static_cast<std::size_t>(shape.tokens * shape.experts));
  std::mt19937 random(53);
  for (double& x : logits) x = static_cast<double>(random() % 64) / 16.0;
  return logits;
}

OperationCase route_case(const std::string& name, const MixtureShape& shape, const Values& logits,
                         bool in_place = false) {
  const std::int64_t pairs = shape.tokens * shape.experts, all = shape.assignments();
  const std::string out = in_place ? "logits" : "probabilities";
  OperationCase operation;
  operation.name = name;
  operation.tensors = {
      {"logits", logits},
      {"offsets", Values(static_cast<std::size_t>(shape.experts + 1), -5.0), ElementType::kInt32},
      {"tokens_of", Values(static_cast<std::size_t>(all), -5.0), ElementType::kInt32},
      {"places", Values(static_cast<std::size_t>(pairs), -5.0), ElementType::kInt32}};
  if (!in_place) operation.tensors.push_back({"probabilities", garbage(pairs)});
  operation.run = [shape, out](kernels::Backend& backend, kernels::Stream& stream,
                               const DeviceTensors& tensors) {
    backend.route_tokens(stream, {.routing = shape.routing,
                                  .logits = tensors["logits"],
                                  .probabilities = tensors[out],
                                  .offsets = tensors.as<std::uint32_t>("offsets"),
                                  .tokens_of = tensors.as<std::uint32_t>("tokens_of"),
                                  .places = tensors.as<std::int32_t>("places"),
                                  .tokens = shape.tokens,
                                  .experts = shape.experts,
                                  .capacity = shape.capacity});
  };
  operation.oracle = [shape, out](OracleTensors& t) {
    oracle::route_tokens(shape, t["logits"], t[out], t["offsets"], t["tokens_of"], t["places"]);
  };
  return operation;
}

OperationCase route_case(const std::string& name, const MixtureShape& shape,
                         bool in_place = false) {
  return route_case(name, shape, distinct_logits(shape), in_place);
}

OperationCase gather_case(const std::string& name, std::int64_t tokens, std::int64_t assignments,
                          std::int64_t width, FloatType type) {
  Numbers numbers(59);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {float_tensor("x", numbers.normal(tokens * width), type),
                       {"tokens_of", numbers.below(assignments, tokens), ElementType::kInt32},
                       float_tensor("out", garbage(assignments * width), type)};
  operation.tolerance = 0;
  operation.run = [=](kernels::Backend& backend, kernels::Stream& stream,
                      const DeviceTensors& tensors) {
    backend.gather_tokens(stream, {.type = type,
                                   .x = tensors["x"],
                                   .tokens_of = tensors.as<std::uint32_t>("tokens_of"),
                                   .out = tensors["out"],
                                   .assignments = assignments,
                                   .width = width});
  };
  operation.oracle = [=](OracleTensors& t) {
    for (std::int64_t i = 0; i < assignments * width; ++i) {
      const auto token = static_cast<std::int64_t>(at(t["tokens_of"], i / width));
      at(t["out"], i) = at(t["x"], token * width + i % width);
    }
  };
  return operation;
}

struct CombineCase {
  MixtureShape shape;
  std::int64_t width = 0;
  FloatType type = FloatType::kF32;
  bool weighted = true;
  double balance = 0;
};

// Assignments as routing makes them.
OperationCase combine_case(const std::string& name, const CombineCase& c) {
  Numbers numbers(61);
  const OperationCase routing = route_case(name, c.shape);
  OracleTensors routed(routing.tensors);
  routing.oracle(routed);
  Values probabilities = routed["probabilities"];
  for (double& p : probabilities) p = static_cast<float>(p);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {float_tensor("y", numbers.normal(c.shape.assignments() * c.width), c.type),
                       {"probabilities", probabilities},
                       {"places", routed["places"], ElementType::kInt32},
                       {"offsets", routed["offsets"], ElementType::kInt32},
                       {"out", numbers.normal(c.shape.tokens * c.width)}};
  operation.run = [c](kernels::Backend& backend, kernels::Stream& stream,
                      const DeviceTensors& tensors) {
    backend.combine_experts(stream,
                            {.type = c.type,
                             .y = tensors["y"],
                             .probabilities = c.weighted ? tensors["probabilities"] : nullptr,
                             .places = tensors.as<std::int32_t>("places"),
                             .out = tensors["out"],
                             .tokens = c.shape.tokens,
                             .experts = c.shape.experts,
                             .width = c.width});
  };
  operation.oracle = [c](OracleTensors& t) {
    oracle::combine_experts(c.shape, c.width, t["y"], c.weighted ? &t["probabilities"] : nullptr,
                            t["places"], t["out"]);
  };
  return operation;
}

OperationCase combine_backward_case(const std::string& name, const CombineCase& c) {
  Numbers numbers(67);
  OperationCase operation = combine_case(name, c);
  const std::int64_t pairs = c.shape.tokens * c.shape.experts;
  // The balance loss: `balance` * tokens of an expert * its probability, over all pairs. What goes
  // to an expert is held fixed.
  operation.tensors.push_back({"loss", {0.0}});
  operation.tensors.push_back({"d_loss", {1.0}});
  operation.differentiation.forward = [c](OracleTensors& t) {
    std::fill(t["out"].begin(), t["out"].end(), 0.0);
    oracle::combine_experts(c.shape, c.width, t["y"], &t["probabilities"], t["places"], t["out"]);
    at(t["loss"], 0) = 0;
    for (std::int64_t pair = 0; pair < c.shape.tokens * c.shape.experts; ++pair) {
      const std::int64_t e = pair % c.shape.experts;
      at(t["loss"], 0) += c.balance * at(t["probabilities"], pair) *
                          (at(t["offsets"], e + 1) - at(t["offsets"], e));
    }
  };
  operation.tensors.push_back({"d_out", numbers.normal(c.shape.tokens * c.width)});
  operation.tensors.push_back(
      float_tensor("d_y", garbage(c.shape.assignments() * c.width), c.type));
  operation.tensors.push_back({"d_probabilities", garbage(pairs)});
  if (c.type == FloatType::kBF16) operation.tolerance = kBf16Rounding;
  operation.run = [c](kernels::Backend& backend, kernels::Stream& stream,
                      const DeviceTensors& tensors) {
    backend.combine_experts_backward(stream,
                                     {.forward = {.type = c.type,
                                                  .y = tensors["y"],
                                                  .probabilities = tensors["probabilities"],
                                                  .places = tensors.as<std::int32_t>("places"),
                                                  .tokens = c.shape.tokens,
                                                  .experts = c.shape.experts,
                                                  .width = c.width},
                                      .offsets = tensors.as<std::uint32_t>("offsets"),
                                      .d_out = tensors["d_out"],
                                      .d_y = tensors["d_y"],
                                      .d_probabilities = tensors["d_probabilities"],
                                      .balance = static_cast<float>(c.balance)});
  };
  operation.oracle = [c](OracleTensors& t) {
    oracle::combine_experts_backward(c.shape, c.width, c.balance, t["y"], t["probabilities"],
                                     t["places"], t["offsets"], t["d_out"],
                                     {t["d_y"], t["d_probabilities"]});
  };
  operation.differentiation.outputs = {{"out", "d_out"}, {"loss", "d_loss"}};
  operation.differentiation.inputs = {{"y", "d_y"}, {"probabilities", "d_probabilities"}};
  return operation;
}

// Experts with these numbers of tokens, as forward products (out = x weight^T), or as gradients of
// the weights (d_weight += d_out^T x), which an expert without tokens leaves alone.
OperationCase grouped_case(const std::string& name, const std::vector<std::int64_t>& counts,
                           std::int64_t in, std::int64_t out, bool gradient,
                           FloatType type = FloatType::kF32) {
  Numbers numbers(71);
  const std::int64_t rows = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const auto experts = std::ssize(counts);
  OperationCase operation;
  operation.name = name;
  operation.tensors = {
      float_tensor("x", numbers.normal(std::max<std::int64_t>(1, rows * in)), type),
      float_tensor("weights", numbers.normal(experts * in * out), type)};
  const std::int64_t outputs = std::max<std::int64_t>(1, rows * out);
  operation.tensors.push_back(
      float_tensor("out", gradient ? numbers.normal(outputs) : garbage(outputs), type));
  operation.tensors.push_back({"d_weights", numbers.normal(experts * in * out)});
  if (type == FloatType::kBF16) operation.tolerance = kBf16Rounding;
  const auto products = [=](auto&& pointer) {
    std::vector<kernels::MatmulArgs> list;
    std::int64_t first = 0;
    for (std::int64_t e = 0; e < experts; ++e) {
      const std::int64_t count = counts[static_cast<std::size_t>(e)];
      kernels::MatmulArgs args;
      args.input_type = type;
      if (gradient) {
        args.a = pointer("out", first * out);
        args.b = pointer("x", first * in);
        args.c = pointer("d_weights", e * in * out);
        args.m = args.lda = out;
        args.n = args.ldb = args.ldc = in;
        args.k = count;
        args.transpose_a = args.accumulate = true;
      } else {
        args.a = pointer("x", first * in);
        args.b = pointer("weights", e * in * out);
        args.c = pointer("out", first * out);
        args.output_type = type;
        args.m = count;
        args.n = args.ldc = out;
        args.k = args.lda = args.ldb = in;
        args.transpose_b = true;
      }
      first += count;
      list.push_back(args);
    }
    return list;
  };
  operation.run = [=](kernels::Backend& backend, kernels::Stream& stream,
                      const DeviceTensors& tensors) {
    const auto list = products([&](const char* tensor, std::int64_t offset) {
      const bool wide = type == FloatType::kF32 || std::string(tensor) == "d_weights";
      return static_cast<void*>(tensors.as<std::byte>(tensor) + offset * (wide ? 4 : 2));
    });
    backend.grouped_matmul(stream, list);
  };
  operation.oracle = [=](OracleTensors& t) {
    std::int64_t first = 0;
    for (std::int64_t e = 0; e < experts; ++e) {
      const std::int64_t count = counts[static_cast<std::size_t>(e)];
      for (std::int64_t i = 0; i < count * out; ++i) {
        const std::int64_t row = first + i / out, o = i % out;
        double sum = 0;
        for (std::int64_t j = 0; j < in; ++j) {
          const std::int64_t weight = (e * out + o) * in + j;
          if (gradient) {
            at(t["d_weights"], weight) += at(t["out"], row * out + o) * at(t["x"], row * in + j);
          } else {
            sum += at(t["x"], row * in + j) * at(t["weights"], weight);
          }
        }
        if (!gradient) at(t["out"], row * out + o) = sum;
      }
      first += count;
    }
    if (!gradient && first == 0) at(t["out"], 0) = std::numeric_limits<double>::quiet_NaN();
  };
  return operation;
}

constexpr MixtureShape kOne{Routing::kTopOne, 1, 1, 0};
constexpr MixtureShape kTop{Routing::kTopOne, 301, 7, 0};
constexpr MixtureShape kMany{Routing::kTopOne, 70, 65, 0};  // most experts have no or one token
constexpr MixtureShape kChoice{Routing::kExpertChoice, 301, 7, 43};
constexpr MixtureShape kChoiceAll{Routing::kExpertChoice, 5, 3, 5};
constexpr MixtureShape kChoiceMany{Routing::kExpertChoice, 9, 40, 1};

std::vector<OperationCase> forward_cases() {
  return {
      activation_case("activation_single", 1, 1.0),
      activation_case("activation", 8192 + 37, 1.0),
      // Where 1 + erf would cancel, and where the density is no float32.
      activation_case("activation_far", 1000, 8.0),
      route_case("route_one", kOne),
      route_case("route_top", kTop),
      route_case("route_in_place", kTop, true),
      route_case("route_many_experts", kMany),
      route_case("route_equal", kTop, Values(static_cast<std::size_t>(kTop.tokens * kTop.experts))),
      route_case("route_choice", kChoice),
      route_case("route_choice_equal", kChoice,
                 Values(static_cast<std::size_t>(kChoice.tokens * kChoice.experts))),
      route_case("route_choice_all", kChoiceAll),
      route_case("route_choice_many", kChoiceMany),
      gather_case("gather_tokens", 50, 131, 37, FloatType::kF32),
      gather_case("gather_tokens_wide", 50, 60, 520, FloatType::kF32),
      combine_case("combine_one", {kOne, 1}),
      combine_case("combine_top", {kTop, 37}),
      combine_case("combine_unweighted", {kTop, 64, FloatType::kF32, false}),
      combine_case("combine_many", {kMany, 12}),
      combine_case("combine_choice", {kChoice, 520}),
      grouped_case("grouped", {3, 0, 200, 1, 17}, 37, 21, false),
      grouped_case("grouped_uneven", {0, 1500, 2}, 24, 90, false),
      grouped_case("grouped_empty", {0, 0}, 5, 4, false),
      grouped_case("grouped_gradient", {3, 0, 200, 1, 17}, 37, 21, true),
      grouped_case("grouped_gradient_uneven", {0, 1500, 2}, 24, 90, true),
  };
}

std::vector<OperationCase> backward_cases() {
  return {
      activation_backward_case("activation_backward_single", 1, 1.0, false),
      activation_backward_case("activation_backward", 4096 + 37, 1.0, false),
      activation_backward_case("activation_backward_in_place", 4096 + 37, 1.0, true),
      combine_backward_case("combine_backward_one", {kOne, 1, FloatType::kF32, true, 0.25}),
      combine_backward_case("combine_backward_top", {kTop, 37}),
      combine_backward_case("combine_backward_balance", {kTop, 16, FloatType::kF32, true, 0.125}),
      combine_backward_case("combine_backward_many", {kMany, 12, FloatType::kF32, true, 0.5}),
      combine_backward_case("combine_backward_choice", {kChoice, 132}),
  };
}

std::vector<OperationCase> bf16_cases() {
  constexpr auto kBf16 = FloatType::kBF16;
  return {
      gather_case("gather_tokens_bf16", 50, 131, 37, kBf16),
      gather_case("gather_tokens_bf16_wide", 50, 60, 520, kBf16),
      combine_case("combine_bf16", {kTop, 37, kBf16}),
      combine_case("combine_bf16_choice", {kChoice, 264, kBf16}),
      combine_backward_case("combine_backward_bf16", {kTop, 37, kBf16}),
      combine_backward_case("combine_backward_bf16_choice", {kChoice, 136, kBf16, true, 0.125}),
      grouped_case("grouped_bf16", {3, 0, 200, 1, 17}, 37, 21, false, kBf16),
      grouped_case("grouped_bf16_gradient", {3, 0, 200, 1, 17}, 37, 21, true, kBf16),
  };
}

// Logits that are not finite decide nothing, but every assignment is one.
class RouteBrokenLogits : public ::testing::TestWithParam<TestBackend> {};

TEST_P(RouteBrokenLogits, EveryAssignmentIsAToken) {
  for (const MixtureShape& shape : {kTop, kChoice}) {
    OperationCase operation = route_case("broken", shape);
    for (Tensor& tensor : operation.tensors) {
      if (tensor.name != "logits") continue;
      for (std::size_t i = 0; i < tensor.values.size(); i += 5) {
        tensor.values[i] = i % 2 == 0 ? std::numeric_limits<double>::quiet_NaN()
                                      : std::numeric_limits<double>::infinity();
      }
    }
    const OperationResults results = run_operation(shared_backend(GetParam()), operation);
    const auto integers = [&](const char* name) {
      return decode(results.at(name), ElementType::kInt32);
    };
    Values offsets = integers("offsets"), places = integers("places");
    Values tokens = integers("tokens_of");
    EXPECT_EQ(at(offsets, 0), 0);
    EXPECT_EQ(at(offsets, shape.experts), static_cast<double>(shape.assignments()));
    for (std::int64_t e = 0; e < shape.experts; ++e) {
      ASSERT_LE(at(offsets, e), at(offsets, e + 1));
      for (auto i = static_cast<std::int64_t>(at(offsets, e)); i < at(offsets, e + 1); ++i) {
        const auto token = static_cast<std::int64_t>(at(tokens, i));
        ASSERT_TRUE(token >= 0 && token < shape.tokens);
        EXPECT_EQ(at(places, token * shape.experts + e), static_cast<double>(i));
      }
    }
    EXPECT_EQ(std::count(places.begin(), places.end(), -1.0),
              shape.tokens * shape.experts - shape.assignments());
  }
}

INSTANTIATE_TEST_SUITE_P(Experts, RouteBrokenLogits, ::testing::ValuesIn(backends_under_test()),
                         backend_name);
INSTANTIATE_TEST_SUITE_P(ExpertsBf16, OperationTest, on_bf16_backends(bf16_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Experts, OperationTest, on_every_backend(forward_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(ExpertsBackward, OperationTest, on_every_backend(backward_cases()),
                         case_name);
INSTANTIATE_TEST_SUITE_P(ExpertsBackward, GradientTest, on_every_backend(backward_cases()),
                         case_name);

}  // namespace
}  // namespace mneme::testing
