// Sums over rows and over whole ranges, and the clip factor that follows from one.
#include <cmath>

#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_sums.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/scalar.h"

namespace mneme::kernels::cpu {
namespace {

constexpr std::int64_t kSumChunk = 32768;

// *out = sum over chunks, in chunk order, of chunk_sum(begin, end).
template <typename ChunkSum>
void sum_chunks(Scratch& scratch, std::int64_t count, double* out, const ChunkSum& chunk_sum) {
  const std::int64_t chunks = chunk_count(count, kSumChunk);
  double* partial = scratch.take<double>(chunks);
  parallel_chunks(count, kSumChunk, [&](std::int64_t begin, std::int64_t end) {
    partial[begin / kSumChunk] = chunk_sum(begin, end);
  });
  double total = 0;
  for (std::int64_t i = 0; i < chunks; ++i) total += partial[i];
  *out = total;
}

}  // namespace

void CpuBackend::sum_rows(Stream& stream, const SumRowsArgs& args) {
  check_float32(args.type);
  CHECK(args.rows >= 0 && args.width >= 0);
  const float* x = f32(args.x);
  float* out = args.out;
  const std::int64_t rows = args.rows, width = args.width;
  on(stream).enqueue([=](Scratch& scratch) {
    const float* partial = partial_row_sums(scratch, rows, width,
                                            [=](std::int64_t begin, std::int64_t end, float* sums) {
                                              for (std::int64_t r = begin; r < end; ++r) {
                                                const float* row = x + r * width;
                                                vectorised([=]() MNEME_VECTORISE {
                                                  for (std::int64_t c = 0; c < width; ++c)
                                                    sums[c] += row[c];
                                                });
                                              }
                                            });
    add_partial_sums(partial, chunk_count(rows, summed_rows_per_chunk(rows)), out, width);
  });
}

void CpuBackend::sum(Stream& stream, const float* x, std::int64_t count, double* out) {
  CHECK(count >= 0);
  on(stream).enqueue([=](Scratch& scratch) {
    sum_chunks(scratch, count, out, [=](std::int64_t begin, std::int64_t end) {
      return vectorised([=]() MNEME_VECTORISE {
        return lane_sum_double(
            end - begin, [=](std::int64_t i) MNEME_VECTORISE { return double{x[begin + i]}; });
      });
    });
  });
}

void CpuBackend::sum_of_squares(Stream& stream, const float* x, std::int64_t count, double* out) {
  CHECK(count >= 0);
  on(stream).enqueue([=](Scratch& scratch) {
    sum_chunks(scratch, count, out, [=](std::int64_t begin, std::int64_t end) {
      return vectorised([=]() MNEME_VECTORISE {
        return lane_sum_double(end - begin, [=](std::int64_t i) MNEME_VECTORISE {
          const double value = x[begin + i];
          return value * value;
        });
      });
    });
  });
}

void CpuBackend::clip_scale(Stream& stream, const ClipScaleArgs& args) {
  CHECK(args.chunks >= 1 && args.groups >= 1 && args.groups <= kMostClipGroups);
  on(stream).enqueue([=](Scratch&) {
    double sums[kMostClipGroups] = {};
    for (std::int64_t chunk = 0; chunk < args.chunks; ++chunk) {
      for (int g = 0; g < args.groups; ++g) sums[g] += args.square_sums[chunk * args.groups + g];
    }
    const double total = tree_sum(sums, args.groups);
    if (args.total != nullptr) *args.total = total;
    *args.scale = clip_factor(total, args.limit);
  });
}

}  // namespace mneme::kernels::cpu
