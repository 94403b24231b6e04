// Matrix products: single-threaded BLAS on output tiles that are cut by shape only.
#include <cblas.h>

#include <algorithm>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace mneme::kernels::cpu {
namespace {

// Sizes measured against one two-threaded BLAS call (kernel_benchmark, matmul): cutting the longer
// side of C into an even number of strips of at most 512 costs less than packing the shorter side
// of the operands again for square tiles.
constexpr std::int64_t kStrip = 512;
constexpr std::int64_t kWidest = 4096;  // of the other side
constexpr std::int64_t kSerialProducts = 1
                                         << 19;  // multiply-adds (10 us) not worth a second thread
constexpr std::int64_t kMultiple = 16;           // of BLAS's inner kernels, in both directions

struct Tiling {
  std::int64_t m, n;  // tile sizes
};

std::int64_t even_strip(std::int64_t length) {
  const std::int64_t strips = 2 * chunk_count(length, 2 * kStrip);
  return chunk_count(chunk_count(length, strips), kMultiple) * kMultiple;
}

Tiling tiling_of(const MatmulArgs& args) {
  if (args.m * args.n * args.k < kSerialProducts) return {args.m, args.n};
  // Tall C: strips of rows, whole in n. Wide C: the other way round.
  if (args.m >= args.n) return {even_strip(args.m), std::min(args.n, kWidest)};
  return {std::min(args.m, kWidest), even_strip(args.n)};
}

struct Tile {
  std::int64_t batch, row, column, rows, columns;
};

void multiply_tile(const MatmulArgs& args, const Tile& tile) {
  const float* a = f32(args.a) + tile.batch * args.stride_a +
                   (args.transpose_a ? tile.row : tile.row * args.lda);
  const float* b = f32(args.b) + tile.batch * args.stride_b +
                   (args.transpose_b ? tile.column * args.ldb : tile.column);
  float* c = f32(args.c) + tile.batch * args.stride_c + tile.row * args.ldc + tile.column;
  const auto size = [](std::int64_t value) { return static_cast<blasint>(value); };
  cblas_sgemm(CblasRowMajor, args.transpose_a ? CblasTrans : CblasNoTrans,
              args.transpose_b ? CblasTrans : CblasNoTrans, size(tile.rows), size(tile.columns),
              size(args.k), args.alpha, a, size(args.lda), b, size(args.ldb),
              args.accumulate ? 1.0f : 0.0f, c, size(args.ldc));
}

void check_matmul(const MatmulArgs& args) {
  check_float32(args.input_type);
  check_float32(args.output_type);
  CHECK(args.m >= 0 && args.n >= 0 && args.k >= 0 && args.batch >= 0);
  CHECK(args.lda >= (args.transpose_a ? args.m : args.k), "lda {} is too small", args.lda);
  CHECK(args.ldb >= (args.transpose_b ? args.k : args.n), "ldb {} is too small", args.ldb);
  CHECK(args.ldc >= args.n, "ldc {} is too small", args.ldc);
  constexpr std::int64_t kLargest = 0x7fffffff;  // BLAS takes 32-bit sizes
  CHECK(std::max({args.m, args.n, args.k, args.lda, args.ldb, args.ldc}) <= kLargest);
}

}  // namespace

void CpuBackend::matmul(Stream& stream, const MatmulArgs& args) {
  check_matmul(args);
  if (args.m == 0 || args.n == 0 || args.batch == 0) return;
  on(stream).enqueue_blas([args](Scratch&) {
    const Tiling tiling = tiling_of(args);
    const std::int64_t tiles_m = chunk_count(args.m, tiling.m);
    const std::int64_t tiles_n = chunk_count(args.n, tiling.n);
    const std::int64_t per_batch = tiles_m * tiles_n;
    // A task takes several small products of a batch, so that its own cost does not show.
    const std::int64_t products = std::max<std::int64_t>(1, tiling.m * tiling.n * args.k);
    const std::int64_t tiles_a_task = std::max<std::int64_t>(1, kSerialProducts / 4 / products);
    parallel_chunks(args.batch * per_batch, tiles_a_task,
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        Tile tile{};
                        tile.batch = i / per_batch;
                        tile.row = i % per_batch / tiles_n * tiling.m;
                        tile.column = i % tiles_n * tiling.n;
                        tile.rows = std::min(tiling.m, args.m - tile.row);
                        tile.columns = std::min(tiling.n, args.n - tile.column);
                        multiply_tile(args, tile);
                      }
                    });
  });
}

}  // namespace mneme::kernels::cpu
