// Pinned host memory of the CUDA backend, on the emulator: what is mapped and registered, and what
// a machine that refuses it is told.
#include "kernels/cuda/pinned_memory.h"

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "io/error.h"
#include "kernels/backend.h"
#include "kernels/machine_memory.h"
#include "tests/io/temporary_directory.h"

namespace mneme::kernels::cuda {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kLarge = PinnedMemory::kMappedBytes + 12345;

// How much host memory can be registered, while the object lives.
class RegisteredLimit {
 public:
  explicit RegisteredLimit(const char* mebibytes) {
    ::setenv("MNEME_EMULATED_REGISTERED_MIB", mebibytes, 1);
  }
  RegisteredLimit(const RegisteredLimit&) = delete;
  RegisteredLimit& operator=(const RegisteredLimit&) = delete;
  ~RegisteredLimit() { ::unsetenv("MNEME_EMULATED_REGISTERED_MIB"); }
};

std::string refusal(PinnedMemory& memory, std::size_t bytes) {
  try {
    memory.release(memory.allocate(bytes), bytes);
  } catch (const io::Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << "one line";
    return text;
  }
  ADD_FAILURE() << "no error";
  return {};
}

cudaMemoryType type_of(const void* data) {
  cudaPointerAttributes attributes{};
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, data), cudaSuccess);
  return attributes.type;
}

TEST(PinnedMemory, IsKnownToTheDeviceWhileItIsHeld) {
  PinnedMemory memory(0);
  for (const std::size_t bytes : {std::size_t{1}, 3 * kMiB + 1, kLarge}) {
    auto* data = static_cast<unsigned char*>(memory.allocate(bytes));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 4096, 0u);
    EXPECT_EQ(std::count(data, data + bytes, 0), static_cast<std::ptrdiff_t>(bytes));
    EXPECT_EQ(type_of(data), cudaMemoryTypeHost);
    EXPECT_EQ(type_of(data + bytes - 1), cudaMemoryTypeHost);
    std::memset(data, 7, bytes);
    memory.release(data, bytes);
    EXPECT_EQ(type_of(data), cudaMemoryTypeUnregistered);
  }
}

TEST(PinnedMemory, IsThereBeforeItIsUsed) {
  PinnedMemory memory(0);
  const std::size_t before = resident_memory_bytes();
  void* data = memory.allocate(kLarge);
  EXPECT_GE(resident_memory_bytes(), before + kLarge / 10 * 9);
  memory.release(data, kLarge);
}

TEST(PinnedMemory, ARefusalSaysHowMuchWasAskedForWhyAndWhatToDo) {
  PinnedMemory memory(0);
  const RegisteredLimit limit("100");
  void* first = memory.allocate(kLarge);
  const std::string text = refusal(memory, kLarge);
  for (const std::string& part : {std::to_string(kLarge), std::string("cudaErrorMemoryAllocation"),
                                  std::string("tiers.host_bytes"), std::string("ulimit -l")}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the next launch has nothing to tell";
  memory.release(first, kLarge);
  memory.release(memory.allocate(kLarge), kLarge);
}

TEST(PinnedMemory, MoreThanTheMachineHasIsRefusedBeforeItIsTouched) {
  PinnedMemory memory(0);
  const std::size_t available = free_memory_bytes();
  const std::string text = refusal(memory, available);
  for (const char* part : {"asked for", "available are", "tiers.host_bytes"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
}

// What a machine with two nodes, near one of which the emulated GPU is, says on standard error
// while memory is taken twice.
std::string said_with_two_nodes(const std::string& node_of_the_gpu) {
  const test::TemporaryDirectory sysfs;
  const auto write = [&](const std::string& folder, const std::string& name,
                         const std::string& text) {
    std::filesystem::create_directories(sysfs.file(folder));
    std::ofstream(sysfs.file(folder + "/" + name)) << text << '\n';
  };
  write("devices/system/node", "has_cpu", "0,1023");
  write("bus/pci/devices/0000:01:00.0", "numa_node", node_of_the_gpu);
  ::testing::internal::CaptureStderr();
  PinnedMemory memory(0, sysfs.path());
  for (int i = 0; i < 2; ++i) {
    auto* data = static_cast<unsigned char*>(memory.allocate(kLarge));
    EXPECT_EQ(std::count(data, data + kLarge, 0), static_cast<std::ptrdiff_t>(kLarge));
    memory.release(data, kLarge);
  }
  return ::testing::internal::GetCapturedStderr();
}

TEST(PinnedMemory, APlaceThatIsRefusedIsSaidOnceAndChangesNothing) {
  const std::string text = said_with_two_nodes("1023");
  EXPECT_NE(text.find("on NUMA node 1023: "), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

TEST(PinnedMemory, AGpuWithoutANodeIsSaidOnce) {
  const std::string text = said_with_two_nodes("-1");
  EXPECT_NE(text.find("does not say where that is"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

TEST(PinnedMemory, ABackendGoesOnAfterARefusal) {
  const auto backend = make_cuda_backend({.arena_bytes = 16 * kMiB});
  const RegisteredLimit limit("0");
  EXPECT_THROW(backend->allocate(kLarge, MemoryKind::kPinnedHost), io::Error);
  EXPECT_NO_THROW(backend->allocate(kMiB, MemoryKind::kPinnedHost)) << "not registered, but given";
}

}  // namespace
}  // namespace mneme::kernels::cuda
