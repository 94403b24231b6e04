// A kernel written as those of the CUDA backend are. nvcc compiles this file as well, which shows
// that what the emulator accepts is CUDA:
//   nvcc -std=c++20 -arch=sm_90 -c -o /dev/null tests/cuda_emulator/language_test.cu
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>

#include <cstdint>

#if defined(__CUDACC__)
__device__ __forceinline__ void* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char bytes[];
  return bytes;
}
#else
using emulator::dynamic_shared;
#endif

namespace {

constexpr int kThreads = 128;
constexpr unsigned kAllLanes = 0xffffffffu;

__constant__ float kScale[2] = {1.0f, 2.0f};

struct Options {
  const float* values;
  int columns;
  bool doubled;
};

template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(kAllLanes, value, lane);
  return value;
}

__device__ __noinline__ float scale(bool doubled) {
  return kScale[doubled ? 1 : 0];
}

// The scaled sum of every row, and how many blocks have written theirs.
template <int kThreadsPerBlock>
__global__ void __launch_bounds__(kThreadsPerBlock)
    sum_rows(const __grid_constant__ Options options, float* __restrict__ sums,
             unsigned long long* __restrict__ done) {
  auto* row = static_cast<float4*>(dynamic_shared());
  __shared__ __align__(16) float warp_sums[kThreadsPerBlock / 32];
  const int quads = options.columns / 4;
  const auto* values = reinterpret_cast<const float4*>(options.values) + blockIdx.x * quads;
  for (int i = threadIdx.x; i < quads; i += blockDim.x) row[i] = __ldcs(values + i);
  __syncthreads();
  float sum = 0.0f;
  for (int i = quads - 1 - threadIdx.x; i >= 0; i -= blockDim.x) {
    const float4 quad = row[i];
    sum += quad.x + quad.y + (quad.z + quad.w);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % warpSize == 0) warp_sums[threadIdx.x / warpSize] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  float total = 0.0f;
  for (const float part : warp_sums) total += part;
  __stcs(&sums[blockIdx.x], __fmul_rn(total, scale(options.doubled)));
  __threadfence();
  atomicAdd(done, 1ull);
}

}  // namespace

// Sums the rows of `values` [rows, columns], both in device memory. Null for success.
const char* sum_rows_on_device(const float* values, int rows, int columns, bool doubled,
                               float* sums, unsigned long long* done, cudaStream_t stream) {
  nvtxRangePush("sum_rows");
  const auto kernel = sum_rows<kThreads>;
  const int shared_bytes = columns * static_cast<int>(sizeof(float));
  cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (error == cudaSuccess) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 0;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(rows));
    config.blockDim = kThreads;
    config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    error = cudaLaunchKernelEx(&config, kernel, Options{values, columns, doubled}, sums, done);
  }
  nvtxRangePop();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}
