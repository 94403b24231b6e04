// Devices whose blocks have less shared memory than an H100's: compute capability 8.6 and 8.9 have
// 99 KiB, 8.0 has 163.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/scalar.h"
#include "tests/support/error_of.h"
#include "tests/support/setting.h"
#include "tests/support/transfer.h"

namespace mneme::kernels {
namespace {

using testing::error_of;
using testing::read_device;
using testing::Setting;
using testing::upload;

// Attention and its backward of a few bf16 heads: the bits of the three gradients.
std::vector<std::uint16_t> gradients(std::int64_t head_width) {
  constexpr std::int64_t kSequence = 150, kHeads = 2;
  const auto backend = make_cuda_backend({.arena_bytes = std::size_t{64} << 20});
  const auto stream = backend->create_stream();
  const std::int64_t count = kSequence * kHeads * head_width;
  const auto numbers = [&](std::uint32_t salt) {
    std::vector<std::uint16_t> values;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto hash = (static_cast<std::uint32_t>(i) + salt) * 2654435761u;
      values.push_back(float_to_bf16(static_cast<float>(hash >> 16) / 32768.0f - 1.0f));
    }
    return upload(*backend, *stream, values);
  };
  const Buffer q = numbers(1), k = numbers(2), v = numbers(3), d_out = numbers(4);
  const auto make = [&](std::size_t bytes) {
    return backend->allocate(bytes, MemoryKind::kDevice);
  };
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(std::uint16_t);
  const Buffer out = make(bytes), d_q = make(bytes), d_k = make(bytes), d_v = make(bytes);
  const Buffer log_sum = make(kSequence * kHeads * sizeof(float));
  const AttentionArgs forward = {.type = FloatType::kBF16,
                                 .q = q.as<void>(),
                                 .k = k.as<void>(),
                                 .v = v.as<void>(),
                                 .out = out.as<void>(),
                                 .log_sum = log_sum.as<float>(),
                                 .batch = 1,
                                 .sequence = kSequence,
                                 .heads = kHeads,
                                 .kv_heads = kHeads,
                                 .head_width = head_width,
                                 .scale = 0.1f};
  backend->attention(*stream, forward);
  backend->attention_backward(*stream, {.forward = forward,
                                        .d_out = d_out.as<void>(),
                                        .d_q = d_q.as<void>(),
                                        .d_k = d_k.as<void>(),
                                        .d_v = d_v.as<void>()});
  std::vector<std::uint16_t> bits;
  for (const Buffer* gradient : {&d_q, &d_k, &d_v}) {
    const auto part = read_device(*backend, *stream, gradient->as<std::uint16_t>(),
                                  static_cast<std::size_t>(count));
    bits.insert(bits.end(), part.begin(), part.end());
  }
  return bits;
}

TEST(SharedMemory, WithLessOfItAttentionTilesAreSmallerAndGradientsHaveTheSameBits) {
  const std::vector<std::uint16_t> bits = gradients(128);
  EXPECT_GT(std::count_if(bits.begin(), bits.end(), [](std::uint16_t x) { return x != 0; }), 1000);
  for (const char* kibibytes : {"99", "163"}) {
    const Setting setting("MNEME_EMULATED_SHARED_KIB", kibibytes);
    EXPECT_EQ(gradients(128), bits) << kibibytes;
  }
}

TEST(SharedMemory, AKernelThatNeedsMoreSaysWhatItNeedsAndWhatThereIs) {
  {
    const Setting setting("MNEME_EMULATED_SHARED_KIB", "163");
    EXPECT_FALSE(gradients(256).empty());
  }
  const Setting setting("MNEME_EMULATED_SHARED_KIB", "99");
  const std::string text = error_of([] { gradients(256); });
  EXPECT_EQ(text,
            "attention: a kernel needs 102784 bytes of shared memory for a block (4096 of them "
            "static), and the CUDA device has 101376; use narrower heads, or a device with more");
  EXPECT_EQ(error_of([] { gradients(200); }).substr(0, 46),
            "attention_backward: a kernel needs 111104 byte");
}

}  // namespace
}  // namespace mneme::kernels
