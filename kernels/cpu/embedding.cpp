// Token embedding: copying rows of a table, and adding gradients back in token order.
#include <algorithm>

#include "io/check.h"
#include "io/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"

namespace mneme::kernels::cpu {
namespace {

// Columns that one task of the backward owns, for all tokens: several cache lines.
constexpr std::int64_t kColumns = 64;

std::int64_t checked_token(const std::int32_t* tokens, std::int64_t i, std::int64_t vocabulary) {
  const std::int64_t token = tokens[i];
  if (token < 0 || token >= vocabulary) {
    io::fail(
        "token {} at position {} is outside the vocabulary of {}; use the tokenizer that the "
        "model was configured for",
        token, i, vocabulary);
  }
  return token;
}

}  // namespace

void CpuBackend::embedding(Stream& stream, const EmbeddingArgs& args) {
  CHECK(args.count >= 0 && args.width > 0 && args.vocabulary > 0);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(
        args.count, rows_per_chunk(args.width * 8), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            const std::int64_t token = checked_token(args.tokens, i, args.vocabulary);
            std::copy_n(args.table + token * args.width, args.width, args.out + i * args.width);
          }
        });
  });
}

void CpuBackend::embedding_backward(Stream& stream, const EmbeddingBackwardArgs& args) {
  CHECK(args.count >= 0 && args.width > 0 && args.vocabulary > 0);
  on(stream).enqueue([args](Scratch&) {
    parallel_chunks(args.width, kColumns, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = 0; i < args.count; ++i) {
        const std::int64_t token = checked_token(args.tokens, i, args.vocabulary);
        const float* d_out = args.d_out + i * args.width;
        float* d_row = args.d_table + token * args.width;
        vectorised([=]() MNEME_VECTORISE {
          for (std::int64_t c = begin; c < end; ++c) d_row[c] += d_out[c];
        });
      }
    });
  });
}

}  // namespace mneme::kernels::cpu
