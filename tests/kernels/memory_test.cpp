// What device memory, pinned memory and copies promise, on every backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "io/error.h"
#include "tests/support/test_backend.h"
#include "tests/support/transfer.h"

namespace mneme::testing {
namespace {

using kernels::MemoryKind;

class MemoryTest : public ::testing::TestWithParam<TestBackend> {
 protected:
  std::string out_of_memory(std::size_t bytes, MemoryKind kind) {
    try {
      const auto buffer = backend_->allocate(bytes, kind);
      ADD_FAILURE() << "got " << buffer.bytes() << " bytes";
    } catch (const io::Error& error) {
      return error.what();
    }
    return {};
  }

  std::unique_ptr<kernels::Backend> backend_ = GetParam().make();
};

TEST_P(MemoryTest, MemoryIsZeroedAndAligned) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{100}, std::size_t{3} << 20}) {
    for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kPinnedHost}) {
      const auto stream = backend_->create_stream();
      const auto buffer = backend_->allocate(bytes, kind);
      const std::uintptr_t alignment = kind == MemoryKind::kDevice ? 64 : 4096;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.as<void>()) % alignment, 0u);
      EXPECT_EQ(read_device(*backend_, *stream, buffer.as<unsigned char>(), bytes),
                std::vector<unsigned char>(bytes, 0));
    }
  }
}

TEST_P(MemoryTest, MuchPinnedMemoryIsZeroedAndReachesTheDevice) {
  const auto stream = backend_->create_stream();
  constexpr std::size_t kBytes = (std::size_t{96} << 20) + 5;
  const auto pinned = backend_->allocate(kBytes, MemoryKind::kPinnedHost);
  const auto* bytes = pinned.as<unsigned char>();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes) % 4096, 0u);
  EXPECT_EQ(std::count(bytes, bytes + kBytes, 0), static_cast<std::ptrdiff_t>(kBytes));
  const auto ones = upload(*backend_, *stream, std::vector<unsigned char>(1000, 1));
  backend_->copy(*stream, pinned.as<unsigned char>() + kBytes - 1000, ones.as<void>(), 1000);
  stream->synchronize();
  EXPECT_EQ(std::count(bytes, bytes + kBytes, 1), 1000);
  EXPECT_EQ(bytes[kBytes - 1], 1);
}

TEST_P(MemoryTest, MemoryThatWasUsedBeforeIsZeroedToo) {
  const auto stream = backend_->create_stream();
  for (int i = 0; i < 3; ++i) {
    const auto buffer = backend_->allocate(4000, MemoryKind::kDevice);
    EXPECT_EQ(read_device(*backend_, *stream, buffer.as<float>(), 1000),
              std::vector<float>(1000, 0.0f));
    write_device(*backend_, *stream, buffer.as<float>(), std::vector<float>(1000, 1.0f));
  }
}

TEST_P(MemoryTest, MemoryGivenBackIsThereAgain) {
  // Together more than there is.
  constexpr std::size_t kBytes = std::size_t{150} << 20;
  for (int i = 0; i < 4; ++i) {
    const auto buffer = backend_->allocate(kBytes, MemoryKind::kDevice);
    ASSERT_NE(buffer.as<void>(), nullptr);
  }
}

TEST_P(MemoryTest, NoBytesNeedNoMemory) {
  const auto buffer = backend_->allocate(0, MemoryKind::kDevice);
  EXPECT_EQ(buffer.as<void>(), nullptr);
  EXPECT_EQ(buffer.bytes(), 0u);
}

TEST_P(MemoryTest, MoreMemoryThanThereIsIsAnErrorThatSaysHowMuchAndWhatToDo) {
  const std::string text = out_of_memory(std::size_t{1} << 50, MemoryKind::kDevice);
  for (const char* part : {"1125899906842624", "free", "batch"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
  EXPECT_NO_THROW(backend_->allocate(1000, MemoryKind::kDevice)) << "the backend goes on";
}

TEST_P(MemoryTest, MorePinnedMemoryThanTheMachineHasIsAnErrorToo) {
  const std::string text = out_of_memory(std::size_t{1} << 50, MemoryKind::kPinnedHost);
  EXPECT_NE(text.find("1125899906842624"), std::string::npos) << text;
}

TEST_P(MemoryTest, CopyAndZeroReachEveryByte) {
  const auto stream = backend_->create_stream();
  std::vector<unsigned char> bytes(1000003);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i % 251 + 1);
  const auto device = upload(*backend_, *stream, bytes);
  const auto other = backend_->allocate(bytes.size(), MemoryKind::kDevice);
  const auto pinned = backend_->allocate(bytes.size(), MemoryKind::kPinnedHost);
  backend_->copy(*stream, other.as<void>(), device.as<void>(), bytes.size());
  backend_->copy(*stream, pinned.as<void>(), other.as<void>(), bytes.size());
  backend_->zero(*stream, device.as<unsigned char>() + 1, bytes.size() - 2);
  stream->synchronize();
  EXPECT_EQ(std::memcmp(pinned.as<void>(), bytes.data(), bytes.size()), 0);
  const auto zeroed = read_device(*backend_, *stream, device.as<unsigned char>(), bytes.size());
  EXPECT_EQ(zeroed.front(), bytes.front());
  EXPECT_EQ(zeroed.back(), bytes.back());
  const auto not_zero = [](unsigned char byte) { return byte != 0; };
  EXPECT_EQ(std::count_if(zeroed.begin(), zeroed.end(), not_zero), 2);
  EXPECT_EQ(read_device(*backend_, *stream, other.as<unsigned char>(), bytes.size()), bytes);
}

TEST_P(MemoryTest, PinnedMemoryIsCopiedToPinnedMemoryInOrder) {
  const auto stream = backend_->create_stream();
  const auto from = backend_->allocate(4000, MemoryKind::kPinnedHost);
  const auto to = backend_->allocate(4000, MemoryKind::kPinnedHost);
  std::fill_n(from.as<float>(), 1000, 3.0f);
  backend_->copy(*stream, to.as<void>(), from.as<void>(), 4000);
  backend_->zero(*stream, from.as<void>(), 4000);
  stream->synchronize();
  EXPECT_EQ(to.as<float>()[999], 3.0f);
  EXPECT_EQ(from.as<float>()[999], 0.0f);
}

INSTANTIATE_TEST_SUITE_P(Memory, MemoryTest, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

}  // namespace
}  // namespace mneme::testing
