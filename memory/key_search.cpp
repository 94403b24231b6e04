#include "memory/key_search.h"

#include <algorithm>

#include "io/check.h"
#include "io/error.h"

namespace mneme::memory {
namespace {

// Half scores of one block of tokens take at most this many floats, 32 MiB: the search finds them
// in the level 2 cache of a large GPU (50 MiB), where the product has left them. Their memory is
// bound by neither the micro-batch nor the number of half-keys.
constexpr std::int64_t kMaxHalfScores = std::int64_t{1} << 23;

// Tokens whose half-scores are there at once.
std::int64_t block_tokens_of(const KeySearchOptions& options) {
  return std::clamp<std::int64_t>(kMaxHalfScores / options.key_rows(), 1, options.tokens);
}
constexpr std::int64_t kMaxKnn = 128;

void check_options(const KeySearchOptions& options) {
  if (options.heads < 1 || options.tokens < 1) {
    io::fail("memory layer: heads {} and tokens {} must be at least 1", options.heads,
             options.tokens);
  }
  if (options.key_width < 2 || options.key_width % 2 != 0) {
    io::fail("memory layer: key_width is {}; it must be even and at least 2, one half a side",
             options.key_width);
  }
  if (options.half_keys < 1 || options.half_keys > 65535) {
    io::fail("memory layer: half_keys is {}; it must be between 1 and 65535", options.half_keys);
  }
  const std::int64_t most = std::min(options.half_keys, kMaxKnn);
  if (options.knn < 1 || options.knn > most) {
    io::fail("memory layer: knn is {}; with {} half-keys it must be between 1 and {}", options.knn,
             options.half_keys, most);
  }
}

// Added to the mean square, as in the transformer's norms, or to the squared length.
float norm_epsilon(QueryKeyNorm norm) {
  return norm == QueryKeyNorm::kRms ? 1e-5f : 1e-12f;
}

}  // namespace

kernels::NormKind norm_kind(QueryKeyNorm norm) {
  return norm == QueryKeyNorm::kRms ? kernels::NormKind::kRms : kernels::NormKind::kL2;
}

std::uint64_t KeySearch::device_bytes(const KeySearchOptions& options) {
  std::int64_t words = block_tokens_of(options) * options.key_rows();
  words += 3 * options.tokens * options.lookups();
  if (options.norm != QueryKeyNorm::kNone) {
    words += options.tokens * (options.query_width() + options.heads * 2);
    words += options.key_rows() * (options.half_width() + 1);
  }
  return sizeof(float) * static_cast<std::uint64_t>(words);
}

KeySearch::KeySearch(kernels::Backend& backend, const KeySearchOptions& options)
    : backend_(&backend), options_(options) {
  check_options(options);
  const std::int64_t picked = options.tokens * options.lookups();
  block_tokens_ = block_tokens_of(options);
  half_scores_ = {backend, block_tokens_ * options.key_rows()};
  rows_ = {backend, picked};
  scores_ = {backend, picked};
  weights_ = {backend, picked};
  if (options.norm != QueryKeyNorm::kNone) {
    normalised_queries_ = {backend, options.tokens * options.query_width()};
    query_inverse_ = {backend, options.tokens * options.heads * 2};
    normalised_keys_ = {backend, options.key_rows() * options.half_width()};
    key_inverse_ = {backend, options.key_rows()};
  }
}

void KeySearch::normalise(kernels::Stream& stream, const SearchKeys& keys, std::int64_t tokens) {
  kernels::NormArgs norm{.kind = norm_kind(options_.norm),
                         .x = searched_queries_,
                         .gain = keys.query_norm_gain,
                         .out = normalised_queries_.data(),
                         .inverse = query_inverse_.data(),
                         .rows = tokens * options_.heads * 2,
                         .width = options_.half_width(),
                         .epsilon = norm_epsilon(options_.norm)};
  backend_->norm(stream, norm);
  norm.x = keys.keys;
  norm.gain = keys.key_norm_gain;
  norm.out = normalised_keys_.data();
  norm.inverse = key_inverse_.data();
  norm.rows = options_.key_rows();
  backend_->norm(stream, norm);
  searched_queries_ = normalised_queries_.data();
  searched_keys_ = normalised_keys_.data();
}

void KeySearch::search(kernels::Stream& stream, const float* queries, const SearchKeys& keys,
                       std::int64_t tokens) {
  CHECK(tokens >= 1 && tokens <= options_.tokens, "{} tokens, at most {}", tokens, options_.tokens);
  searched_queries_ = queries;
  searched_keys_ = keys.keys;
  if (options_.norm != QueryKeyNorm::kNone) normalise(stream, keys, tokens);
  const std::int64_t halves = options_.heads * 2;
  for (std::int64_t first = 0; first < tokens; first += block_tokens_) {
    const std::int64_t count = std::min(block_tokens_, tokens - first);
    const std::int64_t picked = first * options_.lookups();
    // One product a head and side: [count, h] times [n, h] transposed.
    backend_->matmul(stream, {.a = searched_queries_ + first * options_.query_width(),
                              .b = searched_keys_,
                              .c = half_scores_.data(),
                              .m = count,
                              .n = options_.half_keys,
                              .k = options_.half_width(),
                              .lda = options_.query_width(),
                              .ldb = options_.half_width(),
                              .ldc = halves * options_.half_keys,
                              .transpose_b = true,
                              .batch = halves,
                              .stride_a = options_.half_width(),
                              .stride_b = options_.half_keys * options_.half_width(),
                              .stride_c = options_.half_keys});
    backend_->product_keys(stream, {.half_scores = half_scores_.data(),
                                    .rows = rows_.data() + picked,
                                    .scores = scores_.data() + picked,
                                    .weights = weights_.data() + picked,
                                    .tokens = count,
                                    .heads = options_.heads,
                                    .half_keys = options_.half_keys,
                                    .knn = options_.knn});
  }
}

}  // namespace mneme::memory
