// Causal softmax attention in blocks of query rows: a block's scores against all keys from the
// first that one of its rows reads up to its last row live in scratch memory of the thread, [block,
// keys], and nothing of size [sequence, sequence] exists. Backward recomputes the probabilities
// from the kept log sums.
#include <algorithm>
#include <cmath>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/vector_math.h"

namespace mneme::kernels::cpu {
namespace {

// Query rows of a block. More rows make better matrix products, but more scores above the diagonal
// that are computed for nothing.
std::int64_t query_rows(std::int64_t sequence) {
  return sequence < 512 ? 64 : 128;
}

// One head of one sequence: pointers to position 0 and strides from position to position.
struct Head {
  const float *q, *k, *v;
  std::int64_t q_stride, kv_stride, width;
  float scale;
  const std::int32_t* first_keys;  // of the sequence, or null

  std::int64_t first_key(std::int64_t query) const {
    return first_keys == nullptr ? 0 : first_keys[query];
  }
};

Head head_of(const AttentionArgs& args, std::int64_t batch, std::int64_t head) {
  const std::int64_t kv_head = head / (args.heads / args.kv_heads);
  const std::int64_t q_stride = args.heads * args.head_width;
  const std::int64_t kv_stride = args.kv_heads * args.head_width;
  const float* q = f32(args.q) + batch * args.sequence * q_stride + head * args.head_width;
  const std::int64_t kv = batch * args.sequence * kv_stride + kv_head * args.head_width;
  const std::int32_t* first_keys =
      args.first_keys == nullptr ? nullptr : args.first_keys + batch * args.sequence;
  return {q,         f32(args.k) + kv, f32(args.v) + kv, q_stride,
          kv_stride, args.head_width,  args.scale,       first_keys};
}

// Query rows [begin, end) and the keys [first_key, end) that any of them reads.
struct Block {
  std::int64_t begin, end, first_key;
  std::int64_t rows() const { return end - begin; }
  std::int64_t keys() const { return end - first_key; }
};

// First keys ascend: the first row's is the least.
Block block_at(const AttentionArgs& args, const Head& head, std::int64_t begin) {
  const std::int64_t end = std::min(args.sequence, begin + query_rows(args.sequence));
  return {begin, end, head.first_key(begin)};
}

// The keys of a block that one of its rows reads, counted from the block's first.
struct RowKeys {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

RowKeys keys_of_row(const Head& head, const Block& block, std::int64_t query) {
  return {head.first_key(query) - block.first_key, query + 1 - block.first_key};
}

// out[r, j] = alpha * <left[r], right[j]> for the rows of the block and all its keys; `right` is
// the first of these.
void times_keys(const Block& block, std::int64_t width, const float* left, std::int64_t left_stride,
                const float* right, std::int64_t right_stride, float alpha, float* out,
                float* scratch) {
  multiply({.m = block.rows(),
            .n = block.keys(),
            .k = width,
            .a = {left, left_stride},
            .b = {right, right_stride, true},
            .c = out,
            .c_stride = block.keys(),
            .alpha = alpha},
           scratch);
}

// out[r, :] = sum over the block's keys of weights[r, j] * right[j, :].
void sum_over_keys(const Block& block, std::int64_t width, const float* weights, const float* right,
                   std::int64_t right_stride, float* out, std::int64_t out_stride, float* scratch) {
  multiply({.m = block.rows(),
            .n = width,
            .k = block.keys(),
            .a = {weights, block.keys()},
            .b = {right, right_stride},
            .c = out,
            .c_stride = out_stride},
           scratch);
}

// out[j, :] (+)= sum over the block's rows of weights[r, j] * left[r, :].
void sum_over_rows(const Block& block, std::int64_t width, const float* weights, const float* left,
                   std::int64_t left_stride, float* out, std::int64_t out_stride, float* scratch) {
  multiply({.m = block.keys(),
            .n = width,
            .k = block.rows(),
            .a = {weights, block.keys(), true},
            .b = {left, left_stride},
            .c = out,
            .c_stride = out_stride,
            .accumulate = true},
           scratch);
}

// Sets what a row of a block has of keys that it does not read to 0.
void clear_unread(float* row, const RowKeys& read, std::int64_t keys) {
  std::fill(row, row + read.begin, 0.0f);
  std::fill(row + read.end, row + keys, 0.0f);
}

// Softmax in place. Returns the log of the sum of the scores' exponentials.
float softmax(float* scores, std::int64_t visible) {
  struct Sum {
    float largest, sum;
  };
  const Sum sum = vectorised([=]() MNEME_VECTORISE {
    const float largest =
        lane_max(visible, [=](std::int64_t j) MNEME_VECTORISE { return scores[j]; });
    for (std::int64_t j = 0; j < visible; ++j) scores[j] = fast_exp(scores[j] - largest);
    const float total =
        lane_sum(visible, [=](std::int64_t j) MNEME_VECTORISE { return scores[j]; });
    const float factor = 1.0f / total;
    for (std::int64_t j = 0; j < visible; ++j) scores[j] *= factor;
    return Sum{largest, total};
  });
  return sum.largest + std::log(sum.sum);
}

void attend_block(const AttentionArgs& args, std::int64_t batch, std::int64_t head,
                  std::int64_t begin, float* scores, float* scratch) {
  const Head h = head_of(args, batch, head);
  const Block block = block_at(args, h, begin);
  const std::int64_t kv_at = block.first_key * h.kv_stride;
  times_keys(block, h.width, h.q + block.begin * h.q_stride, h.q_stride, h.k + kv_at, h.kv_stride,
             h.scale, scores, scratch);
  float* log_sum = args.log_sum + (batch * args.heads + head) * args.sequence;
  for (std::int64_t t = block.begin; t < block.end; ++t) {
    float* row = scores + (t - block.begin) * block.keys();
    const RowKeys read = keys_of_row(h, block, t);
    log_sum[t] = softmax(row + read.begin, read.size());
    clear_unread(row, read, block.keys());
  }
  float* out = f32(args.out) + (h.q - f32(args.q)) + block.begin * h.q_stride;
  sum_over_keys(block, h.width, scores, h.v + kv_at, h.kv_stride, out, h.q_stride, scratch);
}

// scores -> probabilities p = exp(score - log_sum), and d_scores -> scale * p * (d_p - <out,
// d_out>), both in place.
void softmax_backward(float* scores, float* d_scores, std::int64_t visible, float log_sum,
                      float delta, float scale) {
  vectorised([=]() MNEME_VECTORISE {
#pragma omp simd
    for (std::int64_t j = 0; j < visible; ++j) {
      const float p = fast_exp(scores[j] - log_sum);
      scores[j] = p;
      d_scores[j] = scale * p * (d_scores[j] - delta);
    }
  });
}

float dot(const float* x, const float* y, std::int64_t count) {
  return vectorised([=]() MNEME_VECTORISE {
    return lane_sum(count, [=](std::int64_t i) MNEME_VECTORISE { return x[i] * y[i]; });
  });
}

// d_q of the block's rows, and what they add to d_k and d_v.
void attend_block_backward(const AttentionBackwardArgs& args, std::int64_t batch, std::int64_t head,
                           std::int64_t begin, float* scores, float* d_scores, float* scratch) {
  const AttentionArgs& forward = args.forward;
  const Head h = head_of(forward, batch, head);
  const Block block = block_at(forward, h, begin);
  const std::int64_t at = (h.q - f32(forward.q)) + block.begin * h.q_stride;
  const std::int64_t kv_at = block.first_key * h.kv_stride;
  const std::int64_t d_kv_at = (h.k - f32(forward.k)) + kv_at;
  const float* q = f32(forward.q) + at;
  const float* out = f32(forward.out) + at;
  const float* d_out = f32(args.d_out) + at;
  times_keys(block, h.width, q, h.q_stride, h.k + kv_at, h.kv_stride, h.scale, scores, scratch);
  times_keys(block, h.width, d_out, h.q_stride, h.v + kv_at, h.kv_stride, 1.0f, d_scores, scratch);
  const float* log_sum = forward.log_sum + (batch * forward.heads + head) * forward.sequence;
  for (std::int64_t t = block.begin; t < block.end; ++t) {
    const std::int64_t row = t - block.begin;
    const float delta = dot(out + row * h.q_stride, d_out + row * h.q_stride, h.width);
    float *row_scores = scores + row * block.keys(), *row_d_scores = d_scores + row * block.keys();
    const RowKeys read = keys_of_row(h, block, t);
    softmax_backward(row_scores + read.begin, row_d_scores + read.begin, read.size(), log_sum[t],
                     delta, h.scale);
    clear_unread(row_scores, read, block.keys());
    clear_unread(row_d_scores, read, block.keys());
  }
  sum_over_keys(block, h.width, d_scores, h.k + kv_at, h.kv_stride, f32(args.d_q) + at, h.q_stride,
                scratch);
  sum_over_rows(block, h.width, d_scores, q, h.q_stride, f32(args.d_k) + d_kv_at, h.kv_stride,
                scratch);
  sum_over_rows(block, h.width, scores, d_out, h.q_stride, f32(args.d_v) + d_kv_at, h.kv_stride,
                scratch);
}

// One key/value head of one sequence: all query heads that read it, one after the other, so that
// d_k and d_v are summed in a fixed order.
void attend_kv_head_backward(const AttentionBackwardArgs& args, std::int64_t batch,
                             std::int64_t kv_head, float* scores, float* d_scores, float* scratch) {
  const AttentionArgs& forward = args.forward;
  const std::int64_t group = forward.heads / forward.kv_heads;
  const Head h = head_of(forward, batch, kv_head * group);
  for (std::int64_t t = 0; t < forward.sequence; ++t) {
    const std::int64_t at = (h.k - f32(forward.k)) + t * h.kv_stride;
    std::fill_n(f32(args.d_k) + at, h.width, 0.0f);
    std::fill_n(f32(args.d_v) + at, h.width, 0.0f);
  }
  for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    const std::int64_t rows = query_rows(forward.sequence);
    for (std::int64_t begin = 0; begin < forward.sequence; begin += rows) {
      attend_block_backward(args, batch, head, begin, scores, d_scores, scratch);
    }
  }
}

void check_attention(const AttentionArgs& args) {
  check_float32(args.type);
  CHECK(args.batch >= 0 && args.sequence >= 0 && args.head_width > 0);
  CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0,
        "{} heads cannot share {} key/value heads", args.heads, args.kv_heads);
}

}  // namespace

void CpuBackend::attention(Stream& stream, const AttentionArgs& args) {
  check_attention(args);
  on(stream).enqueue([args](Scratch& scratch) {
    const std::int64_t rows = query_rows(args.sequence);
    const std::int64_t scores_size = rows * args.sequence;
    float* scores = scratch.take<float>(thread_slots() * scores_size);
    float* products = scratch.take<float>(thread_slots() * kProductScratch);
    const std::int64_t blocks = chunk_count(args.sequence, rows);
    parallel_tasks(args.batch * args.heads * blocks, [&](std::int64_t task) {
      const std::int64_t batch = task / (args.heads * blocks);
      const std::int64_t head = task / blocks % args.heads;
      const std::int64_t begin = task % blocks * rows;
      attend_block(args, batch, head, begin, scores + thread_slot() * scores_size,
                   products + thread_slot() * kProductScratch);
    });
  });
}

void CpuBackend::attention_backward(Stream& stream, const AttentionBackwardArgs& args) {
  check_attention(args.forward);
  on(stream).enqueue([args](Scratch& scratch) {
    const std::int64_t scores_size = query_rows(args.forward.sequence) * args.forward.sequence;
    float* scores = scratch.take<float>(2 * thread_slots() * scores_size);
    float* products = scratch.take<float>(thread_slots() * kProductScratch);
    parallel_tasks(args.forward.batch * args.forward.kv_heads, [&](std::int64_t task) {
      float* own = scores + 2 * thread_slot() * scores_size;
      attend_kv_head_backward(args, task / args.forward.kv_heads, task % args.forward.kv_heads, own,
                              own + scores_size, products + thread_slot() * kProductScratch);
    });
  });
}

}  // namespace mneme::kernels::cpu
