// The runtime API: memory that only the device may touch, copies, launches, streams and events.
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "tests/cuda_emulator/test_launch.h"

namespace emulator_test {
namespace {

// ---- device memory ----

TEST(DeviceMemory, NewMemoryIsNotZero) {
  const DeviceArray<unsigned char> array(1000);
  EXPECT_EQ(array.values(), std::vector<unsigned char>(1000, 0xFF));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.data()) % 256, 0u);
}

TEST(DeviceMemory, FreedMemoryIsUsedAgain) {
  std::size_t before = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&before, &total));
  void* first = nullptr;
  void* second = nullptr;
  void* third = nullptr;
  check(cudaMalloc(&first, 5000));
  check(cudaMalloc(&second, 7000));
  check(cudaMalloc(&third, 100));
  check(cudaFree(first));
  check(cudaFree(second));
  void* both = nullptr;
  check(cudaMalloc(&both, 12000));
  EXPECT_EQ(both, first);
  check(cudaFree(both));
  check(cudaFree(third));
  std::size_t after = 0;
  check(cudaMemGetInfo(&after, &total));
  EXPECT_EQ(after, before);
  EXPECT_EQ(cudaFree(third), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(DeviceMemory, TooMuchIsRefused) {
  std::size_t free_bytes = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free_bytes, &total));
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, free_bytes + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(pointer, nullptr);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
  cudaGetLastError();
  check(cudaMalloc(&pointer, 0));
  EXPECT_EQ(pointer, nullptr);
}

__global__ void write_at(int* array, int index) {
  array[index] = 1;
}

TEST(DeviceMemoryDeathTest, WhatAGpuWouldNotAllowDies) {
  start_new_processes();
  const DeviceArray<int> array(std::vector<int>(100, 7));
  // A sanitizer turns the signal into a report.
  EXPECT_DEATH(
      {
        static_cast<void>(static_cast<const volatile int*>(array.data())[0]);
        std::exit(0);
      },
      "");
  {
    const emulator::device_access access;
    EXPECT_EQ(array.data()[0], 7);
  }
  EXPECT_DEATH(array.data()[0] = 1, "");
  int* written = nullptr;
  check(cudaMalloc(&written, 400));
  EXPECT_DEATH(
      {
        launch(1, 1, 0, write_at, written, 100);
        cudaFree(written);
      },
      "written 0 bytes behind the end of an allocation of 400 bytes");
  check(cudaFree(written));
}

// ---- host memory and copies ----

TEST(Copies, GoBothWaysAndWithinTheDevice) {
  int* pinned = nullptr;
  check(cudaHostAlloc(&pinned, 400, cudaHostAllocDefault));
  EXPECT_EQ(pinned[99], -1);
  std::iota(pinned, pinned + 100, 0);
  const DeviceArray<int> first(100);
  const DeviceArray<int> second(100);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  check(cudaMemcpyAsync(first.data(), pinned, 400, cudaMemcpyHostToDevice, stream));
  check(cudaMemcpyAsync(second.data(), first.data(), 400, cudaMemcpyDeviceToDevice, stream));
  check(cudaMemsetAsync(pinned, 0, 400, stream));
  check(cudaMemcpyAsync(pinned, second.data() + 10, 360, cudaMemcpyDefault, stream));
  check(cudaStreamSynchronize(stream));
  EXPECT_EQ(pinned[0], 10);
  EXPECT_EQ(pinned[89], 99);
  EXPECT_EQ(pinned[90], 0);
  EXPECT_EQ(cudaMemcpyAsync(first.data(), pinned, 4, cudaMemcpyDeviceToHost, stream),
            cudaErrorInvalidValue);
  cudaGetLastError();
  check(cudaStreamDestroy(stream));
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
  cudaGetLastError();
  check(cudaFreeHost(pinned));
}

TEST(Copies, OfRowsLeaveWhatIsBetweenThem) {
  const DeviceArray<unsigned char> array(std::vector<unsigned char>(30, 1));
  check(cudaMemset2DAsync(array.data(), 10, 2, 4, 3));
  std::vector<unsigned char> expected(30, 1);
  for (int i = 0; i < 30; ++i) expected[i] = i % 10 < 4 ? 2 : 1;
  EXPECT_EQ(array.values(), expected);
  const DeviceArray<unsigned char> packed(12);
  check(cudaMemcpy2DAsync(packed.data(), 4, array.data() + 2, 10, 4, 3, cudaMemcpyDefault));
  EXPECT_EQ(packed.values(), (std::vector<unsigned char>{2, 2, 1, 1, 2, 2, 1, 1, 2, 2, 1, 1}));
  EXPECT_EQ(cudaMemset2DAsync(array.data(), 3, 2, 4, 3), cudaErrorInvalidPitchValue);
  cudaGetLastError();
}

TEST(Copies, RegisteredMemoryIsPinned) {
  std::vector<int> values(100, 3);
  const DeviceArray<int> array(100);
  check(cudaHostRegister(values.data(), 400, cudaHostRegisterDefault));
  EXPECT_EQ(cudaHostRegister(values.data() + 50, 4, 0), cudaErrorHostMemoryAlreadyRegistered);
  check(cudaMemcpyAsync(array.data(), values.data(), 400, cudaMemcpyHostToDevice));
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, values.data() + 1));
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  check(cudaPointerGetAttributes(&attributes, array.data() + 1));
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  check(cudaHostUnregister(values.data()));
  check(cudaPointerGetAttributes(&attributes, values.data()));
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(cudaHostUnregister(values.data()), cudaErrorHostMemoryNotRegistered);
  cudaGetLastError();
}

TEST(CopiesDeathTest, LongCopiesAbort) {
  start_new_processes();
  std::vector<int> values(200);
  const DeviceArray<int> array(100);
  EXPECT_DEATH(cudaMemcpy(array.data() + 1, values.data(), 400, cudaMemcpyHostToDevice),
               "the target has 396 bytes from there to the end of its allocation; 400 are asked");
  EXPECT_DEATH(cudaMemset(array.data() + 100, 0, 1), "is device memory that is not allocated");
}

// ---- streams, events and the device ----

void count_call(void* calls) {
  ++*static_cast<int*>(calls);
}

TEST(Events, TellTimeInOrder) {
  int least = 0;
  int greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  EXPECT_LT(greatest, least);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, greatest));
  cudaEvent_t start = nullptr;
  cudaEvent_t end = nullptr;
  cudaEvent_t untimed = nullptr;
  check(cudaEventCreate(&start));
  check(cudaEventCreateWithFlags(&end, cudaEventDefault));
  check(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));
  float milliseconds = -1.0f;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  cudaGetLastError();
  check(cudaEventRecord(start, stream));
  int calls = 0;
  check(cudaLaunchHostFunc(stream, count_call, &calls));
  check(cudaEventRecord(end, stream));
  check(cudaEventRecord(untimed, stream));
  check(cudaStreamWaitEvent(nullptr, end));
  check(cudaEventSynchronize(end));
  EXPECT_EQ(calls, 1);
  check(cudaEventQuery(end));
  check(cudaStreamSynchronize(stream));
  check(cudaStreamQuery(stream));
  check(cudaEventElapsedTime(&milliseconds, start, end));
  EXPECT_GE(milliseconds, 0.0f);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, untimed), cudaErrorInvalidResourceHandle);
  cudaGetLastError();
  for (cudaEvent_t event : {start, end, untimed}) check(cudaEventDestroy(event));
  check(cudaStreamDestroy(stream));
}

TEST(Device, IsAHopperWithFewMultiprocessors) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0));
  EXPECT_STREQ(properties.name, "emulated");
  EXPECT_EQ(properties.major, 9);
  int value = 0;
  check(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  EXPECT_EQ(value, 227 << 10);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_STREQ(cudaGetErrorName(cudaGetLastError()), "cudaErrorInvalidDevice");
}

TEST(Device, MachineWithoutADevice) {
  ASSERT_EQ(setenv("MNEME_EMULATED_DEVICES", "0", 1), 0);
  int count = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 1), cudaErrorNoDevice);
  ASSERT_EQ(unsetenv("MNEME_EMULATED_DEVICES"), 0);
  check(cudaGetDeviceCount(&count));
  EXPECT_EQ(count, 1);
  cudaGetLastError();
}

}  // namespace
}  // namespace emulator_test
