// Traces written beside training: lists from the device, in the order in which they were added.
#include "offload/trace/trace_writer.h"

#include <gtest/gtest.h>

#include <numeric>

#include "kernels/device_array.h"
#include "tests/offload/trace/trace_support.h"
#include "tests/support/test_backend.h"

namespace mneme::offload::testing {
namespace {

constexpr TraceHeader kHeader{.table = 0, .rows = 1 << 22, .run_id = 5, .seed = 1};
const std::string kPath = "/trace";

class TraceWriterTest : public ::testing::TestWithParam<mneme::testing::TestBackend> {
 protected:
  kernels::Backend& backend_ = mneme::testing::shared_backend(GetParam());
  io::SimulatedDisk disk_{{.record_log = false}};
};

TEST_P(TraceWriterTest, ListsComeFromTheDeviceAsTheyAreWhenTheyAreAdded) {
  const auto stream = backend_.create_stream();
  // Longer than all that the writer takes at once.
  constexpr std::int64_t kLong = 1'400'000;
  const kernels::DeviceArray<std::uint32_t> list(backend_, kLong);
  const auto host = kernels::pinned_array<std::uint32_t>(backend_, kLong);
  std::vector<TraceEvent> expected;
  {
    TraceWriter writer(backend_, disk_, kPath, kHeader, 0);
    std::uint32_t step = 0;
    for (const std::int64_t count : {std::int64_t{3}, kLong, std::int64_t{1}, std::int64_t{131072},
                                     std::int64_t{131073}, std::int64_t{0}}) {
      expected.push_back({.kind = TraceKind::kStep, .number = ++step});
      writer.add(expected.back());
      stream->synchronize();
      std::iota(host.data(), host.data() + kLong, step);
      backend_.copy(*stream, list.data(), host.data(),
                    kernels::DeviceArray<std::uint32_t>::bytes(count));
      TraceEvent lease{.kind = TraceKind::kLease, .number = step};
      writer.add(lease, *stream, list.data(), count);
      // Later work may change the list.
      backend_.zero(*stream, list.data(), kernels::DeviceArray<std::uint32_t>::bytes(kLong));
      lease.list.assign(host.data(), host.data() + count);
      expected.push_back(lease);
    }
    writer.add_checkpoint(6);
    expected.push_back({.kind = TraceKind::kCheckpoint, .number = 6});
    writer.flush();
    EXPECT_EQ(read_all(disk_, kPath), expected);
    EXPECT_TRUE(trace_bytes_until(disk_, kPath, kHeader, 6));
    writer.add({.kind = TraceKind::kStep, .number = 7});
    expected.push_back({.kind = TraceKind::kStep, .number = 7});
  }
  EXPECT_EQ(read_all(disk_, kPath), expected);
  stream->synchronize();
}

// A disk that is full ends the trace, and nothing else: whoever adds is never held up.
TEST_P(TraceWriterTest, ADiskThatIsFullEndsTheTrace) {
  const auto stream = backend_.create_stream();
  const kernels::DeviceArray<std::uint32_t> list(backend_, 1000);
  disk_.set_faults({.capacity_bytes = 2000});
  {
    TraceWriter writer(backend_, disk_, kPath, kHeader, 0);
    std::mt19937_64 random(1);
    for (std::uint64_t step = 1; step <= 9000; ++step) {
      writer.add({.kind = TraceKind::kTokens, .list = random_list(random, false)});
      if (step % 50 == 0) writer.flush();
      writer.add({.kind = TraceKind::kLease, .number = step}, *stream, list.data(), 1000);
    }
    stream->synchronize();
  }
  EXPECT_LE(disk_.read_file(kPath, 1 << 20).size(), 2000u);
}

INSTANTIATE_TEST_SUITE_P(Backends, TraceWriterTest,
                         ::testing::ValuesIn(mneme::testing::backends_under_test()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace mneme::offload::testing
