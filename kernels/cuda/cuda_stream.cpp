#include "kernels/cuda/cuda_stream.h"

#include <memory>
#include <utility>

#include "io/check.h"
#include "kernels/cuda/cuda_check.h"

namespace mneme::kernels::cuda {
namespace {

// What cuBLAS recommends for Hopper.
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

CudaEvent& as_cuda_event(Event& event) {
  auto* cuda = dynamic_cast<CudaEvent*>(&event);
  CHECK(cuda != nullptr, "an event of another backend");
  return *cuda;
}

}  // namespace

CudaEvent::CudaEvent() {
  check_cuda(cudaEventCreate(&event_), "creating an event");
}

CudaEvent::~CudaEvent() {
  warn_cuda(cudaEventDestroy(event_), "destroying an event");
}

double CudaEvent::seconds_since(const Event& earlier) const {
  const auto* other = dynamic_cast<const CudaEvent*>(&earlier);
  CHECK(other != nullptr, "an event of another backend");
  CHECK(recorded_ && other->recorded_, "an event not yet recorded");
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, other->event_, event_),
             "reading the time between two events");
  return 1e-3 * static_cast<double>(milliseconds);
}

bool CudaEvent::reached() const {
  if (!recorded_) return true;
  const cudaError_t result = cudaEventQuery(event_);
  if (result == cudaErrorNotReady) {
    cudaGetLastError();  // an answer, but kept as an error that the next launch would tell
    return false;
  }
  check_cuda(result, "asking for an event");
  return true;
}

void CudaEvent::synchronize() {
  if (recorded_) check_cuda(cudaEventSynchronize(event_), "waiting for an event");
}

CudaStream::CudaStream(DeviceArena& arena, StreamPriority priority)
    : arena_(arena), scratch_(arena), turn_table_(arena) {
  try {
    int least = 0, greatest = 0;
    check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest), "asking for priorities");
    check_cuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking,
                                            priority == StreamPriority::kHigh ? greatest : least),
               "creating a stream");
    device_report_ =
        static_cast<DeviceReport*>(arena_.allocate(sizeof(DeviceReport), "report of a stream"));
    void* pinned = nullptr;
    check_cuda(cudaHostAlloc(&pinned, sizeof(DeviceReport), cudaHostAllocDefault),
               "allocating pinned memory");
    host_report_ = static_cast<DeviceReport*>(pinned);
    check_cuda(cudaMemsetAsync(device_report_, 0, sizeof(DeviceReport), stream_),
               "clearing a stream's report");
  } catch (...) {
    release();
    throw;
  }
}

CudaStream::~CudaStream() {
  try {
    synchronize();
  } catch (const std::exception& error) {
    io::warn("a stream was closed with an error that nobody had waited for: {}", error.what());
  }
  release();
}

void CudaStream::release() noexcept {
  if (cublas_ != nullptr) cublasDestroy(cublas_);
  if (stream_ != nullptr) warn_cuda(cudaStreamDestroy(stream_), "destroying a stream");
  if (workspace_ != nullptr) arena_.release(workspace_, kWorkspaceBytes);
  if (device_report_ != nullptr) arena_.release(device_report_, sizeof(DeviceReport));
  if (host_report_ != nullptr) warn_cuda(cudaFreeHost(host_report_), "freeing pinned memory");
}

cublasHandle_t CudaStream::cublas() {
  if (cublas_ != nullptr) return cublas_;
  if (workspace_ == nullptr)
    workspace_ = arena_.allocate(kWorkspaceBytes, "cuBLAS workspace of a stream");
  cublasHandle_t handle = nullptr;
  check_cublas(cublasCreate(&handle), "creating a handle");
  try {
    check_cublas(cublasSetStream(handle, stream_), "setting the stream");
    check_cublas(cublasSetWorkspace(handle, workspace_, kWorkspaceBytes), "setting the workspace");
    // Products that split k over blocks add up in a fixed order only without atomics.
    check_cublas(cublasSetAtomicsMode(handle, CUBLAS_ATOMICS_NOT_ALLOWED),
                 "forbidding atomic sums");
    // Those sums stay float32 where the product is bf16.
    check_cublas(cublasSetMathMode(handle, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION),
                 "forbidding bf16 sums");
  } catch (...) {
    cublasDestroy(handle);
    throw;
  }
  return cublas_ = handle;
}

void CudaStream::record(Event& event) {
  CudaEvent& cuda = as_cuda_event(event);
  check_cuda(cudaEventRecord(cuda.event_, stream_), "recording an event");
  cuda.recorded_ = true;
}

void CudaStream::wait(Event& event) {
  CudaEvent& cuda = as_cuda_event(event);
  if (!cuda.recorded_) return;
  check_cuda(cudaStreamWaitEvent(stream_, cuda.event_, 0), "waiting for an event");
}

void CudaStream::run_on_host(std::function<void()> work) {
  using Work = std::function<void()>;
  auto owned = std::make_unique<Work>(std::move(work));
  const cudaHostFn_t call = [](void* data) {
    const std::unique_ptr<Work> taken(static_cast<Work*>(data));
    (*taken)();
  };
  check_cuda(cudaLaunchHostFunc(stream_, call, owned.get()), "queueing work of the host");
  owned.release();
}

void CudaStream::synchronize() {
  const bool reported = reporting_;
  reporting_ = false;
  if (reported) {
    check_cuda(cudaMemcpyAsync(host_report_, device_report_, sizeof(DeviceReport),
                               cudaMemcpyDeviceToHost, stream_),
               "reading a stream's report");
  }
  check_cuda(cudaStreamSynchronize(stream_), "running the queued work");
  scratch_.merge();
  arena_.check_guard_zones("when a stream was synchronised");
  if (!reported || host_report_->code == 0) return;
  check_cuda(cudaMemsetAsync(device_report_, 0, sizeof(DeviceReport), stream_),
             "clearing a stream's report");
  fail_with(*host_report_);
}

}  // namespace mneme::kernels::cuda
