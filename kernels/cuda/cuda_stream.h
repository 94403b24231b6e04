// A CUDA stream with what its operations need: scratch memory, a cuBLAS handle with a workspace of
// its own (so that products give the same bits whatever other streams do), the turns of rotary
// embedding, and the report of kernels that met bad input.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include "kernels/cuda/device_report.h"
#include "kernels/cuda/device_scratch.h"
#include "kernels/cuda/turn_table.h"
#include "kernels/memory.h"

namespace mneme::kernels::cuda {

// Has a time. Waiting for it spins: what the host waits for in a step, such as the counts of a
// plan, comes within tens of microseconds, about as long as waking a sleeping thread takes.
class CudaEvent final : public Event {
 public:
  CudaEvent();
  ~CudaEvent() override;
  double seconds_since(const Event& earlier) const override;
  bool reached() const override;
  void synchronize() override;

 private:
  friend class CudaStream;
  cudaEvent_t event_ = nullptr;
  bool recorded_ = false;
};

// Queued on by one thread at a time.
class CudaStream final : public Stream {
 public:
  CudaStream(DeviceArena& arena, StreamPriority priority);
  // Waits for what is queued. An error that nobody synchronised for is logged.
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  void record(Event& event) override;
  void wait(Event& event) override;
  void synchronize() override;
  void run_on_host(std::function<void()> work) override;

  cudaStream_t handle() const { return stream_; }
  // Made by the first product: a stream that multiplies nothing needs no workspace.
  cublasHandle_t cublas();
  DeviceScratch& scratch() { return scratch_; }
  TurnTable& turn_table() { return turn_table_; }
  // For kernels queued from now on; synchronize() reads it.
  DeviceReport* report() {
    reporting_ = true;
    return device_report_;
  }

 private:
  void release() noexcept;

  DeviceArena& arena_;
  DeviceScratch scratch_;
  TurnTable turn_table_;
  cudaStream_t stream_ = nullptr;
  cublasHandle_t cublas_ = nullptr;
  void* workspace_ = nullptr;
  DeviceReport* device_report_ = nullptr;
  DeviceReport* host_report_ = nullptr;  // pinned
  bool reporting_ = false;               // some kernel since the last synchronize() may report
};

}  // namespace mneme::kernels::cuda
