// Dense operations of a transformer: the first part of the Backend interface.
//
// All matrices are row-major float32 unless said otherwise. Where an operation names a FloatType,
// its `void` pointers are arrays of that type: bf16 is for what a backend with bf16 compute keeps
// of a step (Backend::compute_type()); a backend need not take bf16 when its compute type is
// float32. Sums are float32 or wider whatever the type. Every operation is queued on the stream and
// returns at once; its pointers are device memory that must stay valid until it has run. Reductions
// have a fixed order that depends on shapes only, never on the number of threads. `accumulate`
// means out += result instead of out = result. Formulas: docs/SPEC.md.
#pragma once

#include <cstdint>

#include "kernels/float_type.h"
#include "kernels/memory.h"

namespace mneme::kernels {

// C[b] = alpha * op(A[b]) * op(B[b]) (+ C[b] when accumulate), for b < batch.
// op(A): [m, k], op(B): [k, n], C: [m, n]; leading dimensions and batch strides in elements.
// float32 operands are multiplied as float32, never rounded to a shorter type first.
struct MatmulArgs {
  const void* a = nullptr;                  // [m, k], or [k, m] with transpose_a
  const void* b = nullptr;                  // [k, n], or [n, k] with transpose_b
  void* c = nullptr;                        // [m, n]
  FloatType input_type = FloatType::kF32;   // of a and b
  FloatType output_type = FloatType::kF32;  // of c; bf16 only with bf16 inputs
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  bool transpose_a = false, transpose_b = false;
  bool accumulate = false;
  float alpha = 1.0f;
  std::int64_t batch = 1;
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0;
};

struct ConvertArgs {
  const void* source = nullptr;  // [count]
  void* target = nullptr;        // [count]
  FloatType source_type = FloatType::kF32;
  FloatType target_type = FloatType::kF32;
  std::int64_t count = 0;
};

// x[r, :] += bias.
struct AddBiasArgs {
  void* x = nullptr;  // [rows, width]
  FloatType type = FloatType::kF32;
  const float* bias = nullptr;  // [width]
  std::int64_t rows = 0, width = 0;
};

// out[c] += sum over r of x[r, c].
struct SumRowsArgs {
  const void* x = nullptr;  // [rows, width]
  FloatType type = FloatType::kF32;
  float* out = nullptr;  // [width]
  std::int64_t rows = 0, width = 0;
};

enum class NormKind {
  kRms,  // x * rsqrt(mean(x^2) + epsilon) * gain
  kL2,   // x * rsqrt(sum(x^2) + epsilon) * gain
};

// Row-wise normalisation. The gain of row r is gain[(r % gain_rows), :] .
struct NormArgs {
  NormKind kind = NormKind::kRms;
  const float* x = nullptr;     // [rows, width]
  const float* gain = nullptr;  // [gain_rows, width]
  void* out = nullptr;          // [rows, width]
  FloatType out_type = FloatType::kF32;
  float* inverse = nullptr;  // [rows]: the rsqrt factor, kept for backward
  float* copy =
      nullptr;  // [rows, width], not x: x as it is, for a sum that goes on from it; or null
  std::int64_t rows = 0, width = 0, gain_rows = 1;
  float epsilon = 1e-5f;
};
struct NormBackwardArgs {
  NormKind kind = NormKind::kRms;
  const float* x = nullptr;
  const float* gain = nullptr;
  const float* inverse = nullptr;
  const float* d_out = nullptr;  // [rows, width]
  float* d_x = nullptr;          // [rows, width]
  float* d_gain = nullptr;       // [gain_rows, width], accumulated always
  std::int64_t rows = 0, width = 0, gain_rows = 1;
  bool accumulate = false;  // of d_x
};

// Rotary embedding in place on [batch * sequence, heads, head_width] with row stride `stride`
// elements: pairs (0,1), (2,3), ... of position t turn by t * theta^(-2i/head_width).
// `inverse` turns back: the backward of the operation.
struct RotaryArgs {
  void* x = nullptr;
  FloatType type = FloatType::kF32;
  std::int64_t batch = 0, sequence = 0, heads = 0, head_width = 0, stride = 0;
  std::int64_t first_position = 0;
  float theta = 10000.0f;
  bool inverse = false;
};

// The widest head of attention on any backend.
inline constexpr std::int64_t kMaxHeadWidth = 256;

// Causal softmax attention; query head i reads key/value head i / (heads / kv_heads). Query t of a
// sequence reads the keys first_keys[t] ... t: with the first position of its document there,
// documents that share a sequence do not read one another.
struct AttentionArgs {
  FloatType type = FloatType::kF32;  // of q, k, v, out and, in backward, their gradients
  const void* q = nullptr;           // [batch, sequence, heads, head_width]
  const void* k = nullptr;           // [batch, sequence, kv_heads, head_width]
  const void* v = nullptr;           // [batch, sequence, kv_heads, head_width]
  void* out = nullptr;               // [batch, sequence, heads, head_width]
  float* log_sum = nullptr;  // [batch, heads, sequence]: log of the softmax sum, for backward
  std::int64_t batch = 0, sequence = 0, heads = 0, kv_heads = 0, head_width = 0;
  float scale = 1.0f;  // 1 / sqrt(head_width)
  // [batch, sequence]: the position within its sequence of the first key that each query reads, at
  // most its own, ascending along a sequence; null: 0 for all.
  const std::int32_t* first_keys = nullptr;
};
struct AttentionBackwardArgs {
  AttentionArgs forward;        // as in forward, out and log_sum filled
  const void* d_out = nullptr;  // [batch, sequence, heads, head_width]
  void* d_q = nullptr;          // like q; overwritten
  void* d_k = nullptr;          // like k; overwritten
  void* d_v = nullptr;          // like v; overwritten
};

// out = value * silu(gate): SwiGLU of the feed-forward and the swilu gate of the memory layer.
struct GatedSiluArgs {
  FloatType type = FloatType::kF32;        // of gate and out
  FloatType value_type = FloatType::kF32;  // of value
  const void* gate = nullptr;              // [count]
  const void* value = nullptr;             // [count]
  void* out = nullptr;                     // [count]
  std::int64_t count = 0;
};
struct GatedSiluBackwardArgs {
  FloatType type = FloatType::kF32;        // of gate, d_out and d_gate
  FloatType value_type = FloatType::kF32;  // of value and d_value
  const void* gate = nullptr;
  const void* value = nullptr;
  const void* d_out = nullptr;
  void* d_gate = nullptr;   // overwritten; may be d_out
  void* d_value = nullptr;  // overwritten
  std::int64_t count = 0;
};

// Scalar gate: out[t] = sigmoid(<x[t], weight> + bias) * value[t].
struct ScalarGateArgs {
  const void* x = nullptr;  // [tokens, width]
  FloatType x_type = FloatType::kF32;
  const float* weight = nullptr;  // [width]
  const float* bias = nullptr;    // [1]
  const float* value = nullptr;   // [tokens, value_width]
  float* out = nullptr;           // [tokens, value_width]; may be value
  float* rho = nullptr;           // [tokens]: the sigmoid, kept for backward
  std::int64_t tokens = 0, width = 0, value_width = 0;
};
struct ScalarGateBackwardArgs {
  ScalarGateArgs forward;  // value must be the value before the gate
  const float* d_out = nullptr;
  float* d_value = nullptr;   // overwritten; may be d_out
  float* d_x = nullptr;       // [tokens, width], accumulated
  float* d_weight = nullptr;  // [width], accumulated
  float* d_bias = nullptr;    // [1], accumulated
};

// out[t] = table[tokens[t]].
struct EmbeddingArgs {
  const std::int32_t* tokens = nullptr;  // [count], each in [0, vocabulary)
  const float* table = nullptr;          // [vocabulary, width]
  float* out = nullptr;                  // [count, width]
  std::int64_t count = 0, width = 0, vocabulary = 0;
};
struct EmbeddingBackwardArgs {
  const std::int32_t* tokens = nullptr;
  const float* d_out = nullptr;  // [count, width]
  float* d_table = nullptr;      // [vocabulary, width], accumulated in token order
  std::int64_t count = 0, width = 0, vocabulary = 0;
};

// Cross-entropy over rows of logits. With d_scale != 0 the logits are overwritten by
// d_scale * (softmax - onehot), row by row: with a bf16 gradient row r lies at the start of row r
// of the logits, so that rows are 2 * vocabulary bf16 elements apart. losses[r] is the row's
// negative log-likelihood, in nats.
struct CrossEntropyArgs {
  float* logits = nullptr;  // [rows, vocabulary]
  FloatType gradient_type = FloatType::kF32;
  const std::int32_t* targets = nullptr;  // [rows]
  float* losses = nullptr;                // [rows]
  std::int64_t rows = 0, vocabulary = 0;
  float d_scale = 0.0f;
};

// Dense AdamW in place over one parameter range. `grad_scale` (device, one float) multiplies the
// gradient first: the clip factor. When it is 0, the gradients count as 0 even where not finite.
struct AdamWArgs {
  float* parameters = nullptr;       // [count]
  const float* gradients = nullptr;  // [count]
  float* moment1 = nullptr;          // [count]
  float* moment2 = nullptr;          // [count]
  std::int64_t count = 0;
  std::uint64_t step = 0;  // 1 for the first
  float learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
  const float* grad_scale = nullptr;  // null for 1
};

// The sum of square sums: for each group over the chunks, in their order, then the groups as the
// tree ((0 + 1) + (2 + 3)) + ...; norm = sqrt of it;
// *scale = norm > limit && limit > 0 ? limit / (norm + 1e-6) : 1, or 0 where it is not finite.
struct ClipScaleArgs {
  const double* square_sums = nullptr;  // device, [chunks, groups]
  std::int64_t chunks = 1;
  int groups = 1;  // at most 16
  float limit = 0;
  float* scale = nullptr;   // device, [1]
  double* total = nullptr;  // device, [1]: the sum; null: not wanted
};
inline constexpr int kMostClipGroups = 16;

class DenseOps {
 public:
  virtual ~DenseOps() = default;

  virtual void matmul(Stream& stream, const MatmulArgs& args) = 0;
  // target[i] = source[i], rounded to the nearest value of the target's type.
  virtual void convert(Stream& stream, const ConvertArgs& args) = 0;
  virtual void add_bias(Stream& stream, const AddBiasArgs& args) = 0;
  virtual void sum_rows(Stream& stream, const SumRowsArgs& args) = 0;
  // out[i] += x[i].
  virtual void add(Stream& stream, float* out, const float* x, std::int64_t count) = 0;
  virtual void norm(Stream& stream, const NormArgs& args) = 0;
  virtual void norm_backward(Stream& stream, const NormBackwardArgs& args) = 0;
  virtual void rotary(Stream& stream, const RotaryArgs& args) = 0;
  virtual void attention(Stream& stream, const AttentionArgs& args) = 0;
  virtual void attention_backward(Stream& stream, const AttentionBackwardArgs& args) = 0;
  virtual void gated_silu(Stream& stream, const GatedSiluArgs& args) = 0;
  virtual void gated_silu_backward(Stream& stream, const GatedSiluBackwardArgs& args) = 0;
  virtual void scalar_gate(Stream& stream, const ScalarGateArgs& args) = 0;
  virtual void scalar_gate_backward(Stream& stream, const ScalarGateBackwardArgs& args) = 0;
  virtual void embedding(Stream& stream, const EmbeddingArgs& args) = 0;
  virtual void embedding_backward(Stream& stream, const EmbeddingBackwardArgs& args) = 0;
  virtual void cross_entropy(Stream& stream, const CrossEntropyArgs& args) = 0;
  virtual void adamw(Stream& stream, const AdamWArgs& args) = 0;
  // *out = sum of x[i] (or of x[i]^2), summed in double in a fixed order. out: device, one double.
  virtual void sum(Stream& stream, const float* x, std::int64_t count, double* out) = 0;
  virtual void sum_of_squares(Stream& stream, const float* x, std::int64_t count, double* out) = 0;
  virtual void clip_scale(Stream& stream, const ClipScaleArgs& args) = 0;
};

}  // namespace mneme::kernels
