// What the kernels of attention and of its backward share. There are two paths: tiles on tensor
// cores (attention.cu, attention_backward_tiles.cu) for bf16 heads of the usual widths, and float32
// arithmetic for every other width and type (attention_any_width.cu,
// attention_backward_any_width.cu). Neither keeps anything of size [sequence, sequence].
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/operation.h"
#include "kernels/dense_ops.h"

namespace mneme::kernels::cuda {

// e^x = 2^(kLog2E * x): scores are turned into powers of two, which the hardware has.
inline constexpr float kLog2E = 1.4426950408889634f;
inline constexpr float kLn2 = 0.69314718055994531f;

// What backward needs of a query row. Rows beyond the sequence have weights 0: {infinity, 0}.
struct alignas(8) RowTerms {
  float log2_sum;  // log2 of the softmax sum
  float delta;     // <out, d_out>
};
// Terms lie in [batch, heads, padded sequence], so that a tile of rows needs no check of its end.
inline constexpr std::int64_t kRowTermsPadding = 128;

// Where position 0 of a query head lies, in elements.
struct QueryHead {
  std::int64_t q;   // in q, out and their gradients; heads * head_width from position to position
  std::int64_t kv;  // in k, v and their gradients; kv_heads * head_width from position to position
};
// index: of [batch, heads].
__device__ __forceinline__ QueryHead query_head(const AttentionArgs& args, std::int64_t index) {
  const std::int64_t batch = index / args.heads, head = index % args.heads;
  const std::int64_t kv_head = head / (args.heads / args.kv_heads);
  return {(batch * args.sequence * args.heads + head) * args.head_width,
          (batch * args.sequence * args.kv_heads + kv_head) * args.head_width};
}

// The first key that each query of one sequence reads.
class FirstKeys {
 public:
  // args: of the kernel. index: of [batch, heads].
  __device__ __forceinline__ FirstKeys(const AttentionArgs& args, std::int64_t index)
      : args_(args), begin_(static_cast<unsigned>(index / args.heads * args.sequence)) {}
  // Rows beyond the sequence are as its last. REQUIRES that there are first keys.
  __device__ __forceinline__ int operator()(int query) const {
    const int row = min(query, static_cast<int>(args_.sequence) - 1);
    return args_.first_keys[begin_ + static_cast<unsigned>(row)];
  }
  // The same, or 0 where there are none.
  __device__ __forceinline__ int or_zero(int query) const {
    return args_.first_keys == nullptr ? 0 : (*this)(query);
  }

 private:
  const AttentionArgs& args_;
  unsigned begin_;
};

void check_attention(const AttentionArgs& args);

// Whether the tensor-core path takes these heads.
bool takes_tiles(const AttentionArgs& args);
bool takes_tiles(const AttentionBackwardArgs& args);

// Calls body with the head width as a compile-time constant. REQUIRES takes_tiles().
template <typename Body>
void with_tile_width(std::int64_t head_width, const Body& body) {
  switch (head_width) {
    case 32:
      return body(std::integral_constant<int, 32>{});
    case 64:
      return body(std::integral_constant<int, 64>{});
    case 96:
      return body(std::integral_constant<int, 96>{});
    default:
      return body(std::integral_constant<int, 128>{});
  }
}

void attention_any_width(Operation& operation, const AttentionArgs& args);

// terms: of every row, [batch, heads, padded], where padded is the sequence rounded up to
// kRowTermsPadding.
void attention_backward_tiles(Operation& operation, const AttentionBackwardArgs& args,
                              const RowTerms* terms, std::int64_t padded);
void attention_backward_any_width(Operation& operation, const AttentionBackwardArgs& args,
                                  const RowTerms* terms, std::int64_t padded);

}  // namespace mneme::kernels::cuda
