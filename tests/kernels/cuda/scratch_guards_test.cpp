// Guard zones around what an operation takes from its stream's scratch memory, on the emulator.
#include "kernels/cuda/scratch_guards.h"

#include <gtest/gtest.h>

#include "kernels/cuda/operation.h"

namespace mneme::kernels::cuda {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// An operation that takes `takes` pieces of 1000 bytes, and writes 4 bytes at `offset` of the last.
void write_scratch(int takes, std::ptrdiff_t offset) {
  DeviceArena arena(64 * kMiB, 0, true);
  CudaStream stream(arena, StreamPriority::kNormal);
  {
    Operation operation(stream, "planted");
    char* piece = nullptr;
    for (int i = 0; i < takes; ++i) piece = operation.take<char>(1000);
    operation.zero(piece + offset, 4);
  }
  // The next operation takes the same memory, and is no cover for the one before.
  Operation(stream, "next").take<char>(5000);
  stream.synchronize();
}

TEST(ScratchGuards, WhatStaysInsideIsLeftAlone) {
  write_scratch(1, 0);
  write_scratch(40, 996);
}

TEST(ScratchGuardsDeathTest, WhatIsWrittenOutsideIsCaughtAndNamedWithItsOperation) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(write_scratch(2, 1000),
               "scratch memory of planted of 1000 bytes: .* at offset 1000 .0 bytes behind its "
               "end.; found when the operation had run");
  EXPECT_DEATH(write_scratch(1, 998), "scratch memory of planted of 1000 bytes: .* offset 1000 ");
  EXPECT_DEATH(write_scratch(2, -3), "scratch memory of planted of 1000 bytes: .* at offset -3 ");
  EXPECT_DEATH(write_scratch(33, 1200), "scratch memory of planted of 1000 bytes: .* offset 1200 ");
}

}  // namespace
}  // namespace mneme::kernels::cuda
