// A mixture of experts against SPEC.md in float64: its output, and its gradients against finite
// differences, with the balance loss, under both routings; nothing of the project's code is in the
// oracle.
#include "engine/moe_part.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "kernels/device_array.h"
#include "tests/support/test_backend.h"

namespace mneme::engine {
namespace {

using kernels::Routing;
using Numbers = std::vector<double>;

struct Case {
  const char* name;
  MoeOptions moe;
  std::int64_t width = 0, tokens = 0;
};

// The experts' tokens are fixed by route(); all else follows from the parameters.
struct Oracle {
  const Case& shape;
  std::map<std::string, Numbers> parameters;
  Numbers x;
  std::vector<std::vector<std::int64_t>> tokens_of;  // of each expert, ascending

  std::int64_t experts() const { return shape.moe.experts; }

  Numbers probabilities() const {
    Numbers p;
    for (std::int64_t t = 0; t < shape.tokens; ++t) {
      Numbers exps;
      double sum = 0;
      for (std::int64_t e = 0; e < experts(); ++e) {
        exps.push_back(std::exp(dot(parameters.at("moe.router.weight"), e, x, t, shape.width)));
        sum += exps.back();
      }
      for (const double value : exps) p.push_back(value / sum);
    }
    return p;
  }

  void route(Routing routing) {
    const Numbers p = probabilities();
    tokens_of.assign(static_cast<std::size_t>(experts()), {});
    const auto of = [&](std::int64_t t, std::int64_t e) {
      return p[static_cast<std::size_t>(t * experts() + e)];
    };
    if (routing == Routing::kTopOne) {
      for (std::int64_t t = 0; t < shape.tokens; ++t) {
        std::int64_t best = 0;
        for (std::int64_t e = 1; e < experts(); ++e) best = of(t, e) > of(t, best) ? e : best;
        tokens_of[static_cast<std::size_t>(best)].push_back(t);
      }
      return;
    }
    for (std::int64_t e = 0; e < experts(); ++e) {
      std::vector<std::int64_t> all(static_cast<std::size_t>(shape.tokens));
      for (std::int64_t t = 0; t < shape.tokens; ++t) all[static_cast<std::size_t>(t)] = t;
      std::stable_sort(all.begin(), all.end(),
                       [&](std::int64_t a, std::int64_t b) { return of(a, e) > of(b, e); });
      all.resize(static_cast<std::size_t>(std::max<std::int64_t>(1, shape.tokens / experts())));
      std::sort(all.begin(), all.end());
      tokens_of[static_cast<std::size_t>(e)] = all;
    }
  }

  static double dot(const Numbers& a, std::int64_t row_a, const Numbers& b, std::int64_t row_b,
                    std::int64_t width) {
    double sum = 0;
    for (std::int64_t i = 0; i < width; ++i) {
      sum += a[static_cast<std::size_t>(row_a * width + i)] *
             b[static_cast<std::size_t>(row_b * width + i)];
    }
    return sum;
  }

  Numbers output() const {
    const Numbers p = probabilities();
    Numbers out(x.size());
    const std::int64_t hidden = shape.moe.hidden;
    for (std::int64_t e = 0; e < experts(); ++e) {
      const std::string prefix = "moe.experts." + std::to_string(e);
      const Numbers& w1 = parameters.at(prefix + ".w1.weight");
      const Numbers& w2 = parameters.at(prefix + ".w2.weight");
      const Numbers& w3 = parameters.at(prefix + ".w3.weight");
      for (const std::int64_t t : tokens_of[static_cast<std::size_t>(e)]) {
        Numbers middle;
        for (std::int64_t h = 0; h < hidden; ++h) {
          const double gate = dot(w1, h, x, t, shape.width);
          middle.push_back(gate / (1 + std::exp(-gate)) * dot(w3, h, x, t, shape.width));
        }
        for (std::int64_t c = 0; c < shape.width; ++c) {
          out[static_cast<std::size_t>(t * shape.width + c)] +=
              p[static_cast<std::size_t>(t * experts() + e)] * dot(w2, c, middle, 0, hidden);
        }
      }
    }
    return out;
  }

  // experts * sum over e of (share of the tokens) * (mean probability).
  double balance() const {
    const Numbers p = probabilities();
    double sum = 0;
    for (std::int64_t e = 0; e < experts(); ++e) {
      double mean = 0;
      for (std::int64_t t = 0; t < shape.tokens; ++t) {
        mean += p[static_cast<std::size_t>(t * experts() + e)];
      }
      sum += static_cast<double>(tokens_of[static_cast<std::size_t>(e)].size()) * mean;
    }
    const auto n = static_cast<double>(shape.tokens);
    return static_cast<double>(experts()) * sum / n / n;
  }
};

class MoePartTest : public ::testing::TestWithParam<Case> {
 protected:
  // Buffers are for some more tokens than a call has.
  MoePartTest()
      : backend_(mneme::testing::test_backend()),
        stream_(backend_.create_stream()),
        options_(options()),
        parameters_(backend_, declare_moe_parameters(options_, "moe", 1)),
        part_(backend_, options_, parameters_, "moe"),
        oracle_{.shape = GetParam(), .parameters = {}, .x = {}, .tokens_of = {}} {
    std::mt19937_64 random(3);
    std::normal_distribution<double> normal;
    const auto draw = [&](std::int64_t count, double scale) {
      Numbers numbers(static_cast<std::size_t>(count));
      for (double& x : numbers) x = static_cast<float>(scale * normal(random));
      return numbers;
    };
    for (const Parameter& parameter : parameters_.directory()) {
      Numbers& values = oracle_.parameters[parameter.declaration.name];
      values = draw(parameter.count, parameter.declaration.init.scale);
      parameters_.write(*stream_, ParameterBuffer::kValues, parameter,
                        std::vector<float>(values.begin(), values.end()));
    }
    parameters_.zero_gradients(*stream_);
    parameters_.update_weights(*stream_);
    oracle_.x = draw(GetParam().tokens * GetParam().width, 1);
    d_out_ = draw(GetParam().tokens * GetParam().width, 1);
  }

  static ModelOptions options() {
    ModelOptions options;
    options.width = GetParam().width;
    options.batch = 1;
    options.sequence = GetParam().tokens + 3;
    options.moe = GetParam().moe;
    return options;
  }
  PartCall call(bool training) {
    if (!scratch_) {
      scratch_.emplace(backend_.allocate(part_.scratch_bytes(), kernels::MemoryKind::kDevice));
    }
    return {.stream = *stream_,
            .batch = 1,
            .sequence = GetParam().tokens,
            .scratch = scratch_->as<std::byte>(),
            .training = training,
            .loss_scale = kLossScale};
  }
  // What it adds to an output of ones.
  Numbers forward(bool training) {
    x_ = upload(oracle_.x);
    const kernels::DeviceArray<float> out = upload(Numbers(oracle_.x.size(), 1.0));
    part_.forward(call(training), x_.data(), out.data());
    Numbers added = download(out);
    for (double& value : added) value -= 1;
    return added;
  }
  kernels::DeviceArray<float> upload(const Numbers& numbers) {
    const auto count = std::ssize(numbers);
    kernels::DeviceArray<float> array(backend_, count);
    const auto staging = kernels::pinned_array<float>(backend_, count);
    std::copy(numbers.begin(), numbers.end(), staging.data());
    backend_.copy(*stream_, array.data(), staging.data(),
                  kernels::DeviceArray<float>::bytes(count));
    stream_->synchronize();
    return array;
  }
  Numbers download(const kernels::DeviceArray<float>& array) {
    const auto staging = kernels::pinned_array<float>(backend_, array.count());
    backend_.copy(*stream_, staging.data(), array.data(),
                  kernels::DeviceArray<float>::bytes(array.count()));
    stream_->synchronize();
    return {staging.data(), staging.data() + array.count()};
  }

  static double relative_error(const Numbers& found, const Numbers& expected) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      difference += (found[i] - expected[i]) * (found[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
    return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
  }

  // Of the loss <d_out, out> + kLossScale * balance_loss * balance.
  double loss() const {
    const Numbers out = oracle_.output();
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * d_out_[i];
    const bool balances = GetParam().moe.routing == Routing::kTopOne;
    return sum + (balances ? kLossScale * GetParam().moe.balance_loss * oracle_.balance() : 0);
  }
  Numbers differences(Numbers& of) {
    constexpr double kStep = 1e-6;
    Numbers gradient;
    for (double& number : of) {
      const double kept = number;
      number = kept + kStep;
      const double above = loss();
      number = kept - kStep;
      gradient.push_back((above - loss()) / (2 * kStep));
      number = kept;
    }
    return gradient;
  }

  static constexpr double kLossScale = 0.5;
  kernels::Backend& backend_;
  std::unique_ptr<kernels::Stream> stream_;
  ModelOptions options_;
  Parameters parameters_;
  MoePart part_;
  Oracle oracle_;
  Numbers d_out_;
  std::optional<kernels::Buffer> scratch_;
  kernels::DeviceArray<float> x_;
};

TEST_P(MoePartTest, ComputesWhatSpecSays) {
  oracle_.route(GetParam().moe.routing);
  EXPECT_LE(relative_error(forward(true), oracle_.output()), 2e-6);
  std::vector<std::uint64_t> tokens;
  for (const auto& of_expert : oracle_.tokens_of) tokens.push_back(of_expert.size());
  EXPECT_EQ(part_.take_counts(), tokens);
  EXPECT_EQ(part_.take_counts(), std::vector<std::uint64_t>(tokens.size()));
  // An evaluation is top-1 whatever the training is, and counts nothing.
  oracle_.route(Routing::kTopOne);
  EXPECT_LE(relative_error(forward(false), oracle_.output()), 2e-6);
  EXPECT_EQ(part_.take_counts(), std::vector<std::uint64_t>(tokens.size()));
}

TEST_P(MoePartTest, ItsGradientsAreThoseOfFiniteDifferences) {
  oracle_.route(GetParam().moe.routing);
  forward(true);
  const kernels::DeviceArray<float> d_out = upload(d_out_);
  const kernels::DeviceArray<float> d_x = upload(Numbers(d_out_.size(), 7.0));  // overwritten
  part_.backward(call(true), d_out.data(), d_x.data());
  EXPECT_LE(relative_error(download(d_x), differences(oracle_.x)), 1e-5);
  for (const Parameter& parameter : parameters_.directory()) {
    const std::string& name = parameter.declaration.name;
    const std::vector<float> found =
        parameters_.read(*stream_, ParameterBuffer::kGradients, parameter);
    EXPECT_LE(
        relative_error({found.begin(), found.end()}, differences(oracle_.parameters.at(name))),
        1e-5)
        << name;
  }
}

const Case kCases[] = {
    {"TopOne", {.experts = 4, .hidden = 6}, 8, 13},
    {"TopOneBalanced", {.experts = 4, .hidden = 6, .balance_loss = 0.5}, 8, 13},
    {"OneExpert", {.experts = 1, .hidden = 5, .balance_loss = 1}, 6, 4},
    {"MoreExpertsThanTokens", {.experts = 9, .hidden = 4, .balance_loss = 0.1}, 6, 3},
    {"ExpertChoice", {.experts = 4, .hidden = 6, .routing = Routing::kExpertChoice}, 8, 13},
    {"ExpertChoiceBalancesNothing",
     {.experts = 3, .hidden = 5, .routing = Routing::kExpertChoice, .balance_loss = 1},
     6,
     9},
    {"ExpertChoiceOfFewTokens",
     {.experts = 5, .hidden = 4, .routing = Routing::kExpertChoice},
     6,
     2}};

INSTANTIATE_TEST_SUITE_P(Mixtures, MoePartTest, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace mneme::engine
