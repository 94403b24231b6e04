// Token embedding: copying rows of a table, and adding gradients back in token order.
#include <algorithm>

#include "io/check.h"
#include "io/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"

namespace mneme::kernels::cpu {
namespace {

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

// Where each token occurs: (token, position) as one number, sorted.
std::uint64_t* sorted_occurrences(const EmbeddingBackwardArgs& args, Scratch& scratch) {
  auto* occurrences = scratch.take<std::uint64_t>(args.count);
  for (std::int64_t i = 0; i < args.count; ++i) {
    const std::int64_t token = checked_token(args.tokens, i, args.vocabulary);
    occurrences[i] = static_cast<std::uint64_t>(token) << 32 | static_cast<std::uint64_t>(i);
  }
  std::sort(occurrences, occurrences + args.count);
  return occurrences;
}

void add_occurrence(const EmbeddingBackwardArgs& args, std::uint64_t occurrence) {
  const std::int64_t width = args.width;
  const float* d_out = args.d_out + static_cast<std::int64_t>(occurrence & 0xffffffffu) * width;
  float* d_row = args.d_table + static_cast<std::int64_t>(occurrence >> 32) * width;
  vectorised([=]() MNEME_VECTORISE {
    for (std::int64_t c = 0; c < width; ++c) d_row[c] += d_out[c];
  });
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
  CHECK(args.count <= 0xffffffff && args.vocabulary <= 0x7fffffff);
  on(stream).enqueue([args](Scratch& scratch) {
    const std::uint64_t* occurrences = sorted_occurrences(args, scratch);
    const auto token = [=](std::int64_t i) { return occurrences[i] >> 32; };
    parallel_chunks(args.count, rows_per_chunk(args.width * 12),
                    [&](std::int64_t begin, std::int64_t end) {
                      // A token belongs to the chunk in which its first occurrence lies: one task
                      // adds all of them, in order.
                      while (begin < end && begin > 0 && token(begin) == token(begin - 1)) ++begin;
                      while (end < args.count && begin < end && token(end) == token(end - 1)) ++end;
                      for (std::int64_t i = begin; i < end; ++i)
                        add_occurrence(args, occurrences[i]);
                    });
  });
}

}  // namespace mneme::kernels::cpu
