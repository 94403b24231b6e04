// The arena that a CUDA backend hands its device memory out of, on the emulator: addresses only,
// nothing runs. And what a machine without a device is told.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "io/error.h"
#include "kernels/backend.h"
#include "kernels/cuda/device_arena.h"
#include "kernels/cuda/device_scratch.h"
#include "tests/support/setting.h"

namespace mneme::kernels::cuda {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

using testing::Setting;

// Where pieces lie is promised without guard zones only.
struct PlainArena : DeviceArena {
  explicit PlainArena(std::size_t bytes) : DeviceArena(bytes, 0, false) {}
};

std::byte* address(void* data) {
  return static_cast<std::byte*>(data);
}

template <typename Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const io::Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

TEST(DeviceArena, HandsOutTheLowestGapThatIsLargeEnough) {
  PlainArena arena(8 * kMiB);
  std::byte* a = address(arena.allocate(kMiB));
  std::byte* b = address(arena.allocate(2 * kMiB));
  std::byte* c = address(arena.allocate(kMiB));
  EXPECT_EQ(b, a + kMiB);
  EXPECT_EQ(c, b + 2 * kMiB);
  arena.release(a, kMiB);
  arena.release(c, kMiB);
  EXPECT_EQ(arena.allocate(2 * kMiB), c) << "the gap before b is too small";
  EXPECT_EQ(arena.allocate(kMiB / 2), a);
  EXPECT_EQ(arena.allocate(kMiB / 2), a + kMiB / 2);
}

TEST(DeviceArena, OfAllThatIsFreeLeavesTheReserve) {
  std::size_t free = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  ASSERT_GT(free, 8 * kMiB);
  EXPECT_EQ(DeviceArena(0, free - 8 * kMiB).bytes(), 8 * kMiB);
  EXPECT_EQ(DeviceArena(4 * kMiB, free).bytes(), 4 * kMiB) << "what is asked for is given";
}

TEST(DeviceArena, JoinsNeighbouringGapsInEveryOrderOfReleases) {
  for (const std::vector<int>& order :
       std::vector<std::vector<int>>{{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}}) {
    PlainArena arena(3 * kMiB);
    std::vector<void*> pieces;
    for (int i = 0; i < 3; ++i) pieces.push_back(arena.allocate(kMiB));
    EXPECT_EQ(arena.free_bytes(), 0u);
    for (const int i : order) arena.release(pieces[static_cast<std::size_t>(i)], kMiB);
    EXPECT_EQ(arena.free_bytes(), 3 * kMiB);
    EXPECT_EQ(arena.allocate(3 * kMiB), pieces[0]);
  }
}

TEST(DeviceArena, AlignsEveryPieceAndTakesWholeUnits) {
  PlainArena arena(kMiB + 100);
  EXPECT_EQ(arena.bytes(), kMiB);
  std::byte* a = address(arena.allocate(1));
  std::byte* b = address(arena.allocate(DeviceArena::kAlignment + 1));
  std::byte* c = address(arena.allocate(0));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % DeviceArena::kAlignment, 0u);
  EXPECT_EQ(b, a + DeviceArena::kAlignment);
  EXPECT_EQ(c, b + 2 * DeviceArena::kAlignment);
  EXPECT_EQ(arena.free_bytes(), kMiB - 4 * DeviceArena::kAlignment);
  arena.release(b, DeviceArena::kAlignment + 1);
  arena.release(a, 1);
  arena.release(c, 0);
  EXPECT_EQ(arena.free_bytes(), kMiB);
}

TEST(DeviceArena, ARunOfAllocationsAndReleasesNeverOverlapsAndLosesNothing) {
  struct Piece {
    std::byte* data;
    std::size_t bytes;
  };
  std::mt19937 random(5);
  PlainArena arena(4 * kMiB);
  std::vector<Piece> pieces;
  for (int i = 0; i < 3000; ++i) {
    const std::size_t bytes = random() % 40000;
    if (pieces.size() < 60 && random() % 3 != 0) {
      std::byte* data = address(arena.allocate(bytes));
      for (const Piece& other : pieces) {
        ASSERT_TRUE(data + bytes <= other.data || other.data + other.bytes <= data);
      }
      pieces.push_back({data, bytes});
    } else if (!pieces.empty()) {
      std::swap(pieces[random() % pieces.size()], pieces.back());
      arena.release(pieces.back().data, pieces.back().bytes);
      pieces.pop_back();
    }
  }
  for (const Piece& piece : pieces) arena.release(piece.data, piece.bytes);
  EXPECT_EQ(arena.free_bytes(), arena.bytes());
  EXPECT_NE(arena.allocate(arena.bytes()), nullptr) << "one piece again";
}

TEST(DeviceArena, SaysWhatWasAskedWhatIsFreeAndWhatToLowerWhenItIsFull) {
  PlainArena arena(8 * kMiB);
  std::vector<void*> pieces;
  for (int i = 0; i < 8; ++i) pieces.push_back(arena.allocate(kMiB));
  for (const std::size_t i : {1u, 3u, 4u}) arena.release(pieces[i], kMiB);
  const std::string text = error_of([&] { arena.allocate(3 * kMiB); });
  for (const char* part : {"3145728 bytes", "free", "largest piece", "tiers.device_bytes",
                           "train.batch", "run.arena_bytes"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(arena.allocate(2 * kMiB), pieces[3]) << "a smaller piece still fits";
  for (const std::size_t much : {std::size_t{1} << 50, ~std::size_t{0}}) {
    EXPECT_THROW(arena.allocate(much), io::Error) << much;
  }
}

TEST(DeviceArena, OfMoreThanTheDeviceHasSaysSo) {
  std::size_t free = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  const std::string text = error_of([&] { PlainArena arena(total + kMiB); });
  EXPECT_NE(text.find(std::to_string(total + kMiB)), std::string::npos) << text;
  EXPECT_NE(text.find("run.arena_bytes"), std::string::npos) << text;
}

TEST(DeviceScratch, ReusesItsMemoryForEveryOperationAndKeepsWhatOneTook) {
  PlainArena arena(64 * kMiB);
  {
    DeviceScratch scratch(arena);
    std::byte* a = address(scratch.take_bytes(1000));
    std::byte* b = address(scratch.take_bytes(1000));
    EXPECT_GE(b - a, 1000);
    // Larger than the first block: what was taken before stays where it is, and apart.
    std::byte* c = address(scratch.take_bytes(5 * kMiB));
    EXPECT_TRUE(c + 5 * kMiB <= a || c >= b + 1000);
    scratch.merge();
    scratch.reset();
    std::byte* again = address(scratch.take_bytes(5 * kMiB));
    EXPECT_EQ(again, c) << "the next operation starts over";
    const std::size_t free = arena.free_bytes();
    for (int i = 0; i < 100; ++i) {
      scratch.reset();
      scratch.take_bytes(3 * kMiB);
      scratch.take_bytes(kMiB);
    }
    EXPECT_EQ(arena.free_bytes(), free) << "nothing more is taken";
  }
  EXPECT_EQ(arena.free_bytes(), arena.bytes());
}

TEST(CudaWithoutADevice, IsAReasonToReadAndAnError) {
  const Setting none("MNEME_EMULATED_DEVICES", "0");
  EXPECT_EQ(cuda_unavailable(), "this machine has no CUDA device");
  EXPECT_EQ(error_of([] { make_cuda_backend({.arena_bytes = kMiB}); }),
            "the CUDA backend cannot start: this machine has no CUDA device");
}

TEST(CudaWithADevice, NamesADeviceThatIsNotThere) {
  EXPECT_EQ(cuda_unavailable(), "");
  EXPECT_EQ(cuda_unavailable(3), "there is no CUDA device 3; this machine has 1");
  EXPECT_EQ(cuda_unavailable(-1), "there is no CUDA device -1; this machine has 1");
  EXPECT_THROW(make_cuda_backend({.device = 3, .arena_bytes = kMiB}), io::Error);
}

TEST(CudaWithADevice, SaysWhatItRunsOn) {
  EXPECT_EQ(make_cuda_backend({.arena_bytes = 64 * kMiB})->name(), "cuda (emulated, bf16)");
  const auto exact = make_cuda_backend({.arena_bytes = 64 * kMiB, .compute_type = FloatType::kF32});
  EXPECT_EQ(exact->name(), "cuda (emulated, float32)");
  EXPECT_EQ(exact->compute_type(), FloatType::kF32);
}

TEST(CudaWithADevice, AStreamOfAnotherBackendIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto cuda = make_cuda_backend({.arena_bytes = 64 * kMiB});
  const auto cpu = make_cpu_backend({.threads = 1});
  const auto stream = cpu->create_stream();
  const Buffer x = cuda->allocate(4, MemoryKind::kDevice);
  EXPECT_DEATH(cuda->zero(*stream, x.as<void>(), 4), "a stream of another backend");
}

}  // namespace
}  // namespace mneme::kernels::cuda
