// Conversions between float types: exact to the bit, on every backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

#include "tests/kernels/pinned.h"
#include "tests/kernels/row_table.h"
#include "tests/support/test_backend.h"

namespace mneme::testing {
namespace {

using kernels::FloatType;

class Convert : public ::testing::TestWithParam<TestBackend> {
 protected:
  // Both arrays start `shift` elements behind an aligned address.
  template <typename Target, typename Source>
  std::vector<Target> convert(const std::vector<Source>& source, std::int64_t shift = 0) {
    constexpr auto type_of = [](std::size_t bytes) {
      return bytes == 4 ? FloatType::kF32 : FloatType::kBF16;
    };
    const auto count = static_cast<std::int64_t>(source.size());
    const auto stream = backend_.create_stream();
    const Pinned<Source> from(backend_, count + shift);
    const Pinned<Target> to(backend_, count + shift);
    std::copy(source.begin(), source.end(), from.data() + shift);
    backend_.convert(*stream, {.source = from.data() + shift,
                               .target = to.data() + shift,
                               .source_type = type_of(sizeof(Source)),
                               .target_type = type_of(sizeof(Target)),
                               .count = count});
    stream->synchronize();
    return {to.data() + shift, to.data() + shift + count};
  }

  kernels::Backend& backend_ = shared_backend(GetParam());
};

// As bits, so that NaN compares too.
std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> out;
  for (const float value : values) out.push_back(std::bit_cast<std::uint32_t>(value));
  return out;
}

TEST_P(Convert, RoundsToTheNearestBf16TiesToEven) {
  const std::vector<std::pair<std::uint32_t, std::uint16_t>> cases = {
      {0x3f800000u, 0x3f80}, {0x3f807fffu, 0x3f80}, {0x3f808000u, 0x3f80},  // tie to even: down
      {0x3f808001u, 0x3f81}, {0x3f818000u, 0x3f82},                         // tie to even: up
      {0xbf818000u, 0xbf82}, {0x3fffffffu, 0x4000},                         // into the exponent
      {0x00000000u, 0x0000}, {0x80000000u, 0x8000},                         // zeros
      {0x00000001u, 0x0000}, {0x00008001u, 0x0001}, {0x80018000u, 0x8002},  // subnormal
      {0x7f7fffffu, 0x7f80}, {0xff7fffffu, 0xff80},  // beyond the largest: infinity
      {0x7f7f7fffu, 0x7f7f}, {0x7f800000u, 0x7f80}, {0xff800000u, 0xff80}};
  std::vector<float> source;
  std::vector<std::uint16_t> expected;
  for (const auto& [from, to] : cases) {
    source.push_back(std::bit_cast<float>(from));
    expected.push_back(to);
  }
  EXPECT_EQ(convert<std::uint16_t>(source), expected);
}

TEST_P(Convert, KeepsNotANumber) {
  const std::vector<float> source = {std::bit_cast<float>(0x7f800001u), std::nanf(""),
                                     std::bit_cast<float>(0xffffffffu)};
  for (const std::uint16_t bits : convert<std::uint16_t>(source)) {
    EXPECT_GT(bits & 0x7fff, 0x7f80) << "not a number, and no infinity";
  }
}

TEST_P(Convert, GivesEveryBf16BackAsItIs) {
  std::vector<std::uint16_t> all;
  std::vector<std::uint32_t> expected;
  for (std::uint32_t x = 0; x < 0x10000; ++x) {
    all.push_back(static_cast<std::uint16_t>(x));
    expected.push_back(x << 16);
  }
  EXPECT_EQ(bits(convert<float>(all)), expected);
}

TEST_P(Convert, OfAnySizeAtAnyAddressEndsWhereItShould) {
  for (const std::int64_t count : {0, 1, 7, 8, 9, 255, 4096, 100003}) {
    SCOPED_TRACE(count);
    const std::int64_t shift = count % 3;
    const std::vector<float> source = random_floats(count, 5);
    std::vector<std::uint16_t> expected;
    for (const float x : source) expected.push_back(kernels::float_to_bf16(x));
    EXPECT_EQ(convert<std::uint16_t>(source, shift), expected);
    EXPECT_EQ(bits(convert<float>(source, shift)), bits(source));
    EXPECT_EQ(convert<std::uint16_t>(expected, shift), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Convert, ::testing::ValuesIn(backends_under_test()),
                         backend_name);

}  // namespace
}  // namespace mneme::testing
