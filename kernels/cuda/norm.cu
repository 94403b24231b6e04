// Row-wise RMS and L2 normalisation.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/norm_rows.h"
#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {
namespace {

using namespace norm_rows;

struct NormRows {
  const float* x;
  const float* gain;
  float* inverse;  // or null
  float* copy;     // or null
  std::int64_t gain_rows;
  float epsilon;
};

template <int kThreads, bool kOneTile, typename Out>
__global__ void __launch_bounds__(Layout<kThreads>::kBlockThreads)
    norm_kernel(NormRows norm, Out* outs, RowShape shape) {
  using Rows = Layout<kThreads>;
  __shared__ float shared[kWarp + 1];
  const std::int64_t row = std::int64_t{blockIdx.x} * Rows::kRowsPerBlock + Rows::row();
  if (row >= shape.rows) return;  // a whole warp, and no block that has a row in common
  const std::int64_t first = Rows::column();
  const float* x = norm.x + row * shape.width;
  const float* gain = norm.gain + row % norm.gain_rows * shape.width;
  Out* out = outs + row * shape.width;
  Tile values, gains;
  float squares = 0.0f;
  for (std::int64_t c = first; c < shape.width; c += Rows::kTile) {
    load_row_groups(x + c, Rows::kStride, shape.width - c, shape.vector, values);
    if (norm.copy != nullptr) {
      store_row_groups(norm.copy + row * shape.width + c, Rows::kStride, shape.width - c,
                       shape.vector, values);
    }
#pragma unroll
    for (int i = 0; i < kColumnsEach; ++i) {
      const float value = values[i / kN][i % kN];
      squares = fmaf(value, value, squares);
    }
    if (kOneTile) break;
  }
  squares = Rows::sum(squares, shared);
  const float inverse = 1.0f / sqrtf(squares / shape.divisor + norm.epsilon);
  if (norm.inverse != nullptr && first == 0) norm.inverse[row] = inverse;
  for (std::int64_t c = first; c < shape.width; c += Rows::kTile) {
    const std::int64_t left = shape.width - c;
    load_row_groups(gain + c, Rows::kStride, left, shape.vector, gains);
    if (!kOneTile) load_row_groups(x + c, Rows::kStride, left, shape.vector, values);
#pragma unroll
    for (int i = 0; i < kColumnsEach; ++i) {
      values[i / kN][i % kN] *= inverse * gains[i / kN][i % kN];
    }
    store_row_groups(out + c, Rows::kStride, left, shape.vector, values);
    if (kOneTile) break;
  }
}

}  // namespace

void CudaBackend::norm(Stream& stream, const NormArgs& args) {
  CHECK(args.rows >= 0 && args.width > 0 && args.gain_rows > 0);
  Operation operation(stream, "norm");
  const NormRows norm{args.x, args.gain, args.inverse, args.copy, args.gain_rows, args.epsilon};
  with_float_type(args.out_type, [&](auto type) {
    using Out = decltype(type);
    auto* out = static_cast<Out*>(args.out);
    const RowShape shape =
        row_shape(args.kind, args.rows, args.width,
                  vector_aligned<kN>(args.x, args.width) && vector_aligned<kN>(args.gain) &&
                      vector_aligned<kN>(out) && vector_aligned<kN>(args.copy));
    with_row_threads(args.width, [&](auto threads) {
      using Rows = Layout<threads>;
      operation.launch({blocks_for(args.rows, Rows::kRowsPerBlock), Rows::kBlockThreads},
                       args.width <= Rows::kTile ? norm_kernel<threads, true, Out>
                                                 : norm_kernel<kMostThreads, false, Out>,
                       norm, out, shape);
    });
  });
}

}  // namespace mneme::kernels::cuda
