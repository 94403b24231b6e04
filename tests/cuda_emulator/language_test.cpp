// What language_test.cu does, compiled by the C++ compiler.
#include "tests/cuda_emulator/test_launch.h"

const char* sum_rows_on_device(const float* values, int rows, int columns, bool doubled,
                               float* sums, unsigned long long* done, cudaStream_t stream);

namespace emulator_test {
namespace {

TEST(Language, AFileOfTheBackendCompilesAsCpp) {
  constexpr int kRows = 37;
  constexpr int kColumns = 16384;
  const DeviceArray<float> values(std::vector<float>(kRows * kColumns, 0.25f));
  const DeviceArray<float> sums(kRows);
  const DeviceArray<unsigned long long> done(std::vector<unsigned long long>{0});
  const char* error =
      sum_rows_on_device(values.data(), kRows, kColumns, true, sums.data(), done.data(), nullptr);
  EXPECT_STREQ(error, nullptr);
  EXPECT_EQ(sums.values(), std::vector<float>(kRows, 0.5f * kColumns));
  EXPECT_EQ(done.values()[0], kRows);
}

}  // namespace
}  // namespace emulator_test
