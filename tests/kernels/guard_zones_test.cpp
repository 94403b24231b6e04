// The debug mode with guard zones (kernels/guard_zones.h) catches what is written outside of an
// allocation, and names it, on every backend.
#include "kernels/guard_zones.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/cpu/cpu_backend.h"
#include "tests/support/setting.h"
#include "tests/support/test_backend.h"
#include "tests/support/transfer.h"

namespace mneme::testing {
namespace {

using kernels::Buffer;
using kernels::MemoryKind;

class GuardZonesTest : public ::testing::TestWithParam<TestBackend> {
 protected:
  GuardZonesTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  // Writes `count` bytes at `offset` of the second of three buffers, and then synchronises.
  void write_outside(std::size_t bytes, std::ptrdiff_t offset, std::size_t count) {
    const auto stream = backend_->create_stream();
    const Buffer before = backend_->allocate(10000, MemoryKind::kDevice);
    const Buffer buffer = backend_->allocate(bytes, MemoryKind::kDevice);
    const Buffer behind = backend_->allocate(10000, MemoryKind::kDevice);
    backend_->zero(*stream, buffer.as<std::byte>() + offset, count);
    stream->synchronize();
  }

  const Setting setting_{"MNEME_GUARD_ZONES", "1"};
  std::unique_ptr<kernels::Backend> backend_ = GetParam().make();
};
using GuardZonesDeathTest = GuardZonesTest;

TEST_P(GuardZonesTest, WhatStaysInsideIsLeftAlone) {
  const auto stream = backend_->create_stream();
  for (const std::size_t bytes : {1u, 255u, 256u, 5000u, 3u << 20}) {
    for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kPinnedHost}) {
      const Buffer buffer = backend_->allocate(bytes, kind);
      const std::uintptr_t alignment = kind == MemoryKind::kDevice ? 64 : 4096;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.as<void>()) % alignment, 0u);
      EXPECT_EQ(read_device(*backend_, *stream, buffer.as<unsigned char>(), bytes),
                std::vector<unsigned char>(bytes, 0));
      backend_->zero(*stream, buffer.as<void>(), bytes);
      stream->synchronize();
    }
  }
}

TEST_P(GuardZonesDeathTest, AByteBehindTheEndIsCaughtAndNamed) {
  EXPECT_DEATH(write_outside(100, 100, 1),
               "buffer of 100 bytes: .* at offset 100 .0 bytes behind its end.; found when a "
               "stream was synchronised");
  EXPECT_DEATH(write_outside(4096, 4096 + 777, 1), "offset 4873 .777 bytes behind its end");
}

TEST_P(GuardZonesDeathTest, AByteBeforeTheStartIsCaughtAndNamed) {
  EXPECT_DEATH(write_outside(100, -1, 1),
               "buffer of 100 bytes: .* at offset -1 .1 bytes before its start.");
}

TEST_P(GuardZonesDeathTest, ALongWriteBehindOrBeforeAnAllocationIsCaughtAndNamed) {
  EXPECT_DEATH(write_outside(2048, 1024, 6000), "buffer of 2048 bytes: .* at offset 2048 ");
  EXPECT_DEATH(write_outside(2048, -900, 1500), "buffer of 2048 bytes: .* at offset -900 ");
}

TEST_P(GuardZonesDeathTest, WhatNobodySynchronisedForIsCaughtAtTheRelease) {
  EXPECT_DEATH(
      {
        const auto stream = backend_->create_stream();
        Buffer buffer = backend_->allocate(3000, MemoryKind::kDevice);
        backend_->zero(*stream, buffer.as<std::byte>() + 3001, 2);
        buffer = {};
      },
      "buffer of 3000 bytes: .* at offset 3001 .*; found when it was released");
}

INSTANTIATE_TEST_SUITE_P(Backends, GuardZonesTest, ::testing::ValuesIn(backends_under_test()),
                         backend_name);
INSTANTIATE_TEST_SUITE_P(Backends, GuardZonesDeathTest, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

TEST(CpuScratchDeathTest, MemoryOfAnOperationIsGuardedToo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Setting setting("MNEME_GUARD_ZONES", "1");
  const auto backend = kernels::make_cpu_backend({.threads = 1});
  const auto stream = backend->create_stream();
  const auto write = [&](std::ptrdiff_t offset) {
    kernels::cpu::on(*stream).enqueue([offset](kernels::cpu::Scratch& scratch) {
      scratch.take<char>(50);
      scratch.take<char>(100)[offset] = 0;
      scratch.take<char>(50);
    });
    stream->synchronize();
  };
  write(99);
  EXPECT_DEATH(write(100), "scratch memory of an operation of 100 bytes: .* at offset 100 ");
  EXPECT_DEATH(write(-1), "scratch memory of an operation of 100 bytes: .* at offset -1 ");
}

TEST(GuardZones, AreOffUnlessTheEnvironmentAsksForThem) {
  for (const char* value : {"", "0"}) {
    const Setting setting("MNEME_GUARD_ZONES", value);
    EXPECT_FALSE(kernels::guard_zones_wanted()) << value;
  }
  const Setting setting("MNEME_GUARD_ZONES", "1");
  EXPECT_TRUE(kernels::guard_zones_wanted());
}

}  // namespace
}  // namespace mneme::testing
