// Matrix products in tiles of the result, a thread each. How it is cut does not change a bit.
#include <algorithm>
#include <vector>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/product.h"

namespace mneme::kernels::cpu {
namespace {

// Rows or columns of a strip, at most. Measured (kernel_benchmark, matmul): cutting the longer side
// of C into a multiple of the threads' strips costs less than copying the shorter side of the
// factors again for square tiles.
constexpr std::int64_t kStrip = 512;
constexpr std::int64_t kNarrowest = 64;   // below, copies of the factors cost too much
constexpr std::int64_t kWidest = 4096;    // of the other side
constexpr std::int64_t kMultiple = 32;    // of the inner kernels' columns
constexpr std::int64_t kSerialProducts =  // multiply-adds (10 us) not worth a second thread
    1 << 19;

struct Tiling {
  std::int64_t m, n;  // tile sizes
};

std::int64_t even_strip(std::int64_t length) {
  const std::int64_t threads = thread_slots();
  const std::int64_t strips = threads * chunk_count(length, threads * kStrip);
  const std::int64_t strip = std::max(kNarrowest, chunk_count(length, strips));
  return chunk_count(strip, kMultiple) * kMultiple;
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

// The index-th tile of the results.
Tile tile_at(const MatmulArgs& args, const Tiling& tiling, std::int64_t index) {
  const std::int64_t tiles_n = chunk_count(args.n, tiling.n);
  const std::int64_t per_batch = chunk_count(args.m, tiling.m) * tiles_n;
  Tile tile{};
  tile.batch = index / per_batch;
  tile.row = index % per_batch / tiles_n * tiling.m;
  tile.column = index % tiles_n * tiling.n;
  tile.rows = std::min(tiling.m, args.m - tile.row);
  tile.columns = std::min(tiling.n, args.n - tile.column);
  return tile;
}

std::int64_t tiles_of(const MatmulArgs& args, const Tiling& tiling) {
  return args.batch * chunk_count(args.m, tiling.m) * chunk_count(args.n, tiling.n);
}

void compute_tile(const MatmulArgs& args, const Tile& tile, float* scratch) {
  Product product{.m = tile.rows, .n = tile.columns, .k = args.k};
  product.a = {f32(args.a) + tile.batch * args.stride_a +
                   (args.transpose_a ? tile.row : tile.row * args.lda),
               args.lda, args.transpose_a};
  product.b = {f32(args.b) + tile.batch * args.stride_b +
                   (args.transpose_b ? tile.column * args.ldb : tile.column),
               args.ldb, args.transpose_b};
  product.c = f32(args.c) + tile.batch * args.stride_c + tile.row * args.ldc + tile.column;
  product.c_stride = args.ldc;
  product.alpha = args.alpha;
  product.accumulate = args.accumulate;
  multiply(product, scratch);
}

void check_matmul(const MatmulArgs& args) {
  check_float32(args.input_type);
  check_float32(args.output_type);
  CHECK(args.m >= 0 && args.n >= 0 && args.k >= 0 && args.batch >= 0);
  CHECK(args.lda >= (args.transpose_a ? args.m : args.k), "lda {} is too small", args.lda);
  CHECK(args.ldb >= (args.transpose_b ? args.k : args.n), "ldb {} is too small", args.ldb);
  CHECK(args.ldc >= args.n, "ldc {} is too small", args.ldc);
}

}  // namespace

void CpuBackend::matmul(Stream& stream, const MatmulArgs& args) {
  check_matmul(args);
  if (args.m == 0 || args.n == 0 || args.batch == 0) return;
  on(stream).enqueue([args](Scratch& scratch) {
    float* products_scratch = scratch.take<float>(thread_slots() * kProductScratch);
    const Tiling tiling = tiling_of(args);
    // A task takes several small products of a batch, so that its own cost does not show.
    const std::int64_t products = std::max<std::int64_t>(1, tiling.m * tiling.n * args.k);
    const std::int64_t tiles_a_task = std::max<std::int64_t>(1, kSerialProducts / 4 / products);
    parallel_chunks(tiles_of(args, tiling), tiles_a_task,
                    [&](std::int64_t begin, std::int64_t end) {
                      float* own = products_scratch + thread_slot() * kProductScratch;
                      for (std::int64_t i = begin; i < end; ++i) {
                        compute_tile(args, tile_at(args, tiling, i), own);
                      }
                    });
  });
}

// The tiles of all products are shared out together. A product of less than a thread's fair share
// of the work stays whole: its factors are copied once.
void CpuBackend::grouped_matmul(Stream& stream, std::span<const MatmulArgs> products) {
  std::vector<MatmulArgs> list;
  for (const MatmulArgs& args : products) {
    check_matmul(args);
    if (args.m > 0 && args.n > 0 && args.batch > 0) list.push_back(args);
  }
  if (list.empty()) return;
  on(stream).enqueue([list = std::move(list)](Scratch& scratch) {
    struct Task {
      std::size_t product;
      Tiling tiling;
      std::int64_t tile;
    };
    std::int64_t work = 0;
    for (const MatmulArgs& args : list) work += args.batch * args.m * args.n * args.k;
    const std::int64_t share = work / (2 * thread_slots());
    std::vector<Task> tasks;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const MatmulArgs& args = list[i];
      const bool whole = args.m * args.n * args.k <= share;
      const Tiling tiling = whole ? Tiling{args.m, args.n} : tiling_of(args);
      for (std::int64_t tile = 0; tile < tiles_of(args, tiling); ++tile) {
        tasks.push_back({i, tiling, tile});
      }
    }
    float* products_scratch = scratch.take<float>(thread_slots() * kProductScratch);
    parallel_tasks(std::ssize(tasks), [&](std::int64_t index) {
      const Task& task = tasks[static_cast<std::size_t>(index)];
      const MatmulArgs& args = list[task.product];
      compute_tile(args, tile_at(args, task.tiling, task.tile),
                   products_scratch + thread_slot() * kProductScratch);
    });
  });
}

}  // namespace mneme::kernels::cpu
