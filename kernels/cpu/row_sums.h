// Column sums over many rows with a fixed order: rows are cut into chunks, each chunk adds its rows
// one after the other into its own partial sums, and the partial sums are added in chunk order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace mneme::kernels::cpu {

// Rows of one chunk: at least 128, at most 256 chunks. Depends on the number of rows only.
inline std::int64_t summed_rows_per_chunk(std::int64_t rows) {
  return std::max<std::int64_t>(128, chunk_count(rows, 256));
}

// out[c] += sum over chunks of partial[chunk, c]. partial: [chunks, width].
inline void add_partial_sums(const float* partial, std::int64_t chunks, float* out,
                             std::int64_t width) {
  parallel_chunks(width, 4096, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const float* row = partial + chunk * width;
      vectorised([=]() MNEME_VECTORISE {
        for (std::int64_t c = begin; c < end; ++c) out[c] += row[c];
      });
    }
  });
}

// Calls add_rows(begin, end, partial) in parallel for chunks of rows, with zeroed partial sums of
// `width` floats to add to. Returns them as [chunks, width], for add_partial_sums().
template <typename AddRows>
float* partial_row_sums(Scratch& scratch, std::int64_t rows, std::int64_t width,
                        const AddRows& add_rows) {
  const std::int64_t chunk = summed_rows_per_chunk(rows);
  float* partial = scratch.take<float>(chunk_count(rows, chunk) * width);
  parallel_chunks(rows, chunk, [&](std::int64_t begin, std::int64_t end) {
    float* own = partial + begin / chunk * width;
    std::memset(own, 0, static_cast<std::size_t>(width) * sizeof(float));
    add_rows(begin, end, own);
  });
  return partial;
}

}  // namespace mneme::kernels::cpu
