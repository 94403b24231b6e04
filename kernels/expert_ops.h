// Operations of experts: the tiny ones of PEER, which are rows of a table, and the feed-forwards of
// a mixture of experts. The fifth part of the Backend interface. Formulas: docs/SPEC.md.
//
//   assignment   a token and an expert that works on it. Assignments are ordered by expert, those
//                of an expert by token, so that an expert's are neighbours: its products have dense
//                operands. There are as many as RouteTokensArgs::assignments() says, known before
//                any routing; only how many fall to each expert depends on the numbers.
//   place        of a token and an expert: the index of their assignment, or none
#pragma once

#include <cstdint>
#include <span>

#include "io/enum_names.h"
#include "kernels/dense_ops.h"
#include "kernels/float_type.h"
#include "kernels/memory.h"

namespace mneme::kernels {

// PEER: what a look-up's expert contributes, factors = weights * gelu(dots), gelu(a) =
// a/2 (1 + erf(a/sqrt(2))). All [count], one for each look-up.
struct ExpertActivationArgs {
  const float* weights = nullptr;
  const float* dots = nullptr;  // <x, u>
  float* factors = nullptr;     // of v in the output
  std::int64_t count = 0;
};
// d_weights = d_factors * gelu(dots); d_dots = d_factors * weights * gelu'(dots).
struct ExpertActivationBackwardArgs {
  const float* weights = nullptr;
  const float* dots = nullptr;
  const float* d_factors = nullptr;
  float* d_weights = nullptr;  // may be d_factors
  float* d_dots = nullptr;
  std::int64_t count = 0;
};

// How a mixture decides which expert works on which token.
enum class Routing : std::uint8_t {
  kTopOne,        // each token takes its most probable expert; ties: the lower one
  kExpertChoice,  // each expert takes the `capacity` tokens that it is most probable for; ties:
                  // the lower ones. A token may have several experts, or none
};
constexpr auto enum_names(Routing) {
  return std::to_array<io::EnumName<Routing>>(
      {{"top-1", Routing::kTopOne}, {"expert-choice", Routing::kExpertChoice}});
}

inline constexpr std::int32_t kNoPlace = -1;

struct RouteTokensArgs {
  Routing routing = Routing::kTopOne;
  const float* logits = nullptr;       // [tokens, experts]
  float* probabilities = nullptr;      // [tokens, experts]: softmax over the experts; may be logits
  std::uint32_t* offsets = nullptr;    // [experts + 1]: where an expert's assignments start
  std::uint32_t* tokens_of = nullptr;  // [assignments()]: an assignment's token
  std::int32_t* places = nullptr;      // [tokens, experts], or kNoPlace
  std::int64_t tokens = 0, experts = 0;
  std::int64_t capacity = 0;  // expert-choice: 1 to tokens

  std::int64_t assignments() const {
    return routing == Routing::kTopOne ? tokens : experts * capacity;
  }
};

// out[i] = x[tokens_of[i]].
struct GatherTokensArgs {
  FloatType type = FloatType::kF32;
  const void* x = nullptr;                   // [tokens, width]
  const std::uint32_t* tokens_of = nullptr;  // [assignments]
  void* out = nullptr;                       // [assignments, width]
  std::int64_t assignments = 0, width = 0;
};

// out[t] += sum over the token's assignments, in the order of their experts, of probability * y.
struct CombineExpertsArgs {
  FloatType type = FloatType::kF32;
  const void* y = nullptr;               // [assignments, width]
  const float* probabilities = nullptr;  // [tokens, experts]; null: 1
  const std::int32_t* places = nullptr;  // [tokens, experts]
  float* out = nullptr;                  // [tokens, width]
  std::int64_t tokens = 0, experts = 0, width = 0;
};

// d_y = probability * d_out of the assignment's token; d_probabilities = <d_out, y> where there is
// an assignment, else 0, and everywhere the gradient of the balance loss, balance * assignments of
// the expert.
struct CombineExpertsBackwardArgs {
  CombineExpertsArgs forward;              // but out; REQUIRES probabilities
  const std::uint32_t* offsets = nullptr;  // [experts + 1]
  const float* d_out = nullptr;            // [tokens, width]
  void* d_y = nullptr;                     // [assignments, width] of the forward's type
  float* d_probabilities = nullptr;        // [tokens, experts], overwritten
  float balance = 0;
};

class ExpertOps {
 public:
  virtual ~ExpertOps() = default;
  virtual void expert_activation(Stream& stream, const ExpertActivationArgs& args) = 0;
  virtual void expert_activation_backward(Stream& stream,
                                          const ExpertActivationBackwardArgs& args) = 0;
  virtual void route_tokens(Stream& stream, const RouteTokensArgs& args) = 0;
  virtual void gather_tokens(Stream& stream, const GatherTokensArgs& args) = 0;
  // Products of different shapes that do not depend on each other: no result is another's operand
  // or overlaps another's. The list is copied.
  virtual void grouped_matmul(Stream& stream, std::span<const MatmulArgs> products) = 0;
  virtual void combine_experts(Stream& stream, const CombineExpertsArgs& args) = 0;
  virtual void combine_experts_backward(Stream& stream, const CombineExpertsBackwardArgs& args) = 0;
};

}  // namespace mneme::kernels
