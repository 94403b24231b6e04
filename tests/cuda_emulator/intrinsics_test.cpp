// Functions of one thread, and atomics across blocks.
#include <bit>
#include <limits>

#include "tests/cuda_emulator/test_launch.h"

namespace emulator_test {
namespace {

TEST(Intrinsics, Bits) {
  EXPECT_EQ(__popc(0xF0F0u), 8);
  EXPECT_EQ(__popcll(~0ull), 64);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__ffsll(1ll << 40), 41);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clzll(1), 63);
  EXPECT_EQ(__brev(1u), 0x80000000u);
  EXPECT_EQ(__brev(0x12345678u), 0x1E6A2C48u);
  EXPECT_EQ(__byte_perm(0x33221100u, 0x77665544u, 0x7410u), 0x77441100u);
  EXPECT_EQ(__byte_perm(0x33221100u, 0x77665544u, 0x3362u), 0x33336622u);
  EXPECT_EQ(__funnelshift_l(0x80000000u, 1u, 1u), 3u);
  EXPECT_EQ(__float_as_uint(1.0f), 0x3F800000u);
  EXPECT_EQ(__int_as_float(0x40000000), 2.0f);
  EXPECT_EQ(__double_as_longlong(1.0), 0x3FF0000000000000ll);
}

TEST(Intrinsics, Integers) {
  EXPECT_EQ(__umulhi(0xFFFFFFFFu, 0xFFFFFFFFu), 0xFFFFFFFEu);
  EXPECT_EQ(__mul24(-3, 5), -15);
  EXPECT_EQ(__mul24(0x01000002, 3), 6);
  EXPECT_EQ(__usad(3u, 10u, 1u), 8u);
  EXPECT_EQ(min(3, 4u), 3u);
  EXPECT_EQ(max(-1ll, 5), 5ll);
  EXPECT_EQ(min(2.0f, std::numeric_limits<float>::quiet_NaN()), 2.0f);
}

TEST(Intrinsics, FloatingPoint) {
  // a * a is 1 + 2^-12 + 2^-26, which rounds to 1 + 2^-12.
  const float a = 1.0f + 0x1p-13f;
  EXPECT_EQ(__fadd_rn(__fmul_rn(a, a), -1.0f), 0x1p-12f);
  EXPECT_EQ(__fmaf_rn(a, a, -1.0f), 0x1p-12f + 0x1p-26f);
  EXPECT_EQ(rsqrtf(4.0f), 0.5f);
  EXPECT_EQ(__frcp_rn(4.0f), 0.25f);
  EXPECT_EQ(sinpi(1.0), 0.0);
  EXPECT_EQ(cospi(0.5), 0.0);
  EXPECT_EQ(cospi(1.0), -1.0);
  EXPECT_EQ(sinpi(2.5), 1.0);
  float sine = 0.0f;
  float cosine = 0.0f;
  sincospif(1.0f / 6.0f, &sine, &cosine);
  EXPECT_FLOAT_EQ(sine, 0.5f);
  EXPECT_FLOAT_EQ(cosine, std::sqrt(0.75f));
}

static_assert(alignof(float4) == 16 && alignof(float3) == 4 && alignof(float2) == 8);
static_assert(alignof(ushort4) == 8 && alignof(uchar4) == 4 && alignof(longlong2) == 16);
static_assert(sizeof(uint3) == 12 && alignof(double2) == 16);

struct Counters {
  int sum;
  int least;
  unsigned most;
  unsigned bits;
  unsigned turn;
  unsigned long long wide;
  unsigned long long exchanged;
};

__global__ void count(Counters* counters) {
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&counters->sum, 2);
  atomicSub(&counters->sum, 1);
  atomicMin(&counters->least, -static_cast<int>(thread));
  atomicMax(&counters->most, thread);
  atomicOr(&counters->bits, 1u << (thread % 32));
  atomicInc(&counters->turn, 9);
  atomicAdd(&counters->wide, 1ull << 32);
  unsigned long long old = 0;
  unsigned long long seen;
  while ((seen = atomicCAS(&counters->exchanged, old, old + 3)) != old) old = seen;
}

TEST(Atomics, CountAcrossBlocks) {
  const DeviceArray<Counters> counters(std::vector<Counters>(1));
  check(launch(200, 100, 0, count, counters.data()));
  const Counters result = counters.values()[0];
  EXPECT_EQ(result.sum, 20000);
  EXPECT_EQ(result.least, -19999);
  EXPECT_EQ(result.most, 19999u);
  EXPECT_EQ(result.bits, ~0u);
  EXPECT_EQ(result.turn, 0u);
  EXPECT_EQ(result.wide, 20000ull << 32);
  EXPECT_EQ(result.exchanged, 60000ull);
}

}  // namespace
}  // namespace emulator_test
