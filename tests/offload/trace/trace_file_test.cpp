// Traces as bytes and as files: what is written is read, what is damaged or cut says so, and a run
// that goes on keeps what its checkpoint knows.
#include "offload/trace/trace_file.h"

#include <gtest/gtest.h>

#include "tests/offload/trace/trace_support.h"
#include "tests/support/error_of.h"

namespace mneme::offload::testing {
namespace {

using mneme::testing::error_of;

constexpr TraceHeader kHeader{.table = 2, .rows = 5000, .run_id = 77, .seed = 9};
const std::string kPath = "/trace";

std::vector<std::byte> encoded(std::span<const TraceEvent> events) {
  TraceLists lists;
  std::vector<std::byte> bytes;
  for (const TraceEvent& event : events) encode(event, lists, bytes);
  return bytes;
}

TEST(TraceEvents, ComeBackAsTheyWere) {
  const std::vector<TraceEvent> events = random_events(1, 2000);
  const std::vector<std::byte> bytes = encoded(events);
  std::span<const std::byte> left = bytes;
  TraceLists lists;
  for (const TraceEvent& event : events) ASSERT_EQ(decode(left, lists), event);
  EXPECT_TRUE(left.empty());
}

TEST(TraceEvents, AListThatWasThereTakesAByte) {
  TraceEvent lease{.kind = TraceKind::kLease, .number = 1};
  for (std::uint32_t row = 0; row < 1000; ++row) lease.list.push_back(row * 30);
  const std::size_t once = encoded(std::vector{lease}).size();
  EXPECT_LE(once, 1000u + 10);
  EXPECT_EQ(encoded(std::vector{lease, lease, lease}).size(), once + 2 * 7);
}

TEST(TraceEvents, AnyBytesAreReadOrRefused) {
  std::mt19937_64 random(3);
  const std::vector<std::byte> good = encoded(random_events(4, 50));
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::byte> bytes = good;
    for (std::uint64_t n = 1 + random() % 3; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    std::span<const std::byte> left = bytes;
    TraceLists lists;
    try {
      while (!left.empty()) decode(left, lists);
    } catch (const io::Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

class TraceFileTest : public ::testing::Test {
 protected:
  // Frames of `events` each, the n-th with a checkpoint after step n where n is even.
  void write(std::uint64_t keep_bytes, std::uint64_t seed, int frames) {
    TraceFile file(disk_, kPath, kHeader, keep_bytes);
    for (int n = 1; n <= frames; ++n) {
      const std::vector<TraceEvent> events =
          random_events(seed + static_cast<std::uint64_t>(n), 20);
      file.append(encoded(events), n % 2 == 0 ? std::optional<std::uint64_t>(n) : std::nullopt);
      written_.insert(written_.end(), events.begin(), events.end());
    }
  }

  io::SimulatedDisk disk_{{.record_log = false}};
  std::vector<TraceEvent> written_;
};

TEST_F(TraceFileTest, IsReadAsItWasWritten) {
  write(0, 10, 5);
  EXPECT_EQ(read_all(disk_, kPath), written_);
  TraceReader reader(disk_, kPath);
  EXPECT_EQ(reader.header(), kHeader);
  TraceEvent event;
  while (reader.next(event)) continue;
  EXPECT_EQ(reader.frames(), 5u);
  EXPECT_EQ(reader.position(), reader.file_bytes());
  EXPECT_FALSE(reader.is_cut());
}

TEST_F(TraceFileTest, CutAnywhereItsWholeFramesAreRead) {
  write(0, 20, 4);
  const std::vector<std::byte> whole = disk_.read_file(kPath, 1 << 20);
  std::vector<std::uint64_t> ends;
  {
    TraceReader reader(disk_, kPath);
    ends.push_back(reader.position());
    while (reader.next_frame()) ends.push_back(reader.position());
  }
  for (std::size_t bytes = 64; bytes < whole.size(); bytes += 1 + bytes % 7) {
    SCOPED_TRACE(bytes);
    disk_.write_file(kPath, std::span(whole).first(bytes));
    TraceReader reader(disk_, kPath);
    TraceEvent event;
    std::size_t events = 0;
    while (reader.next(event)) ASSERT_EQ(event, written_[events++]);
    const auto frames = std::upper_bound(ends.begin(), ends.end(), bytes) - ends.begin() - 1;
    EXPECT_EQ(events, static_cast<std::size_t>(frames) * 20);
    EXPECT_EQ(reader.is_cut(), bytes != ends[static_cast<std::size_t>(frames)]);
  }
}

TEST_F(TraceFileTest, DamageAnywhereIsFoundAndPlaced) {
  write(0, 30, 3);
  const std::vector<std::byte> whole = disk_.read_file(kPath, 1 << 20);
  for (std::size_t at = 0; at < whole.size(); at += 1 + at % 5) {
    SCOPED_TRACE(at);
    std::vector<std::byte> bytes = whole;
    bytes[at] ^= std::byte{0x10};
    disk_.write_file(kPath, bytes);
    const std::string error = error_of([&] { read_all(disk_, kPath); });
    EXPECT_EQ(error.find(kPath), 0u) << error;
    EXPECT_EQ(error.find("damaged in the frame from byte ") != error.npos, at >= 64) << error;
  }
}

TEST_F(TraceFileTest, OfAnotherVersionAndNoTraceAtAllAreRefused) {
  write(0, 40, 1);
  std::vector<std::byte> bytes = disk_.read_file(kPath, 1 << 20);
  bytes[8] = std::byte{3};
  disk_.write_file(kPath, bytes);
  EXPECT_NE(error_of([&] { TraceReader(disk_, kPath); }).find("version 3"), std::string::npos);
  for (const std::size_t size : {std::size_t{0}, std::size_t{63}, std::size_t{100}}) {
    disk_.write_file(kPath, std::vector<std::byte>(size, std::byte{'a'}));
    EXPECT_EQ(error_of([&] { TraceReader(disk_, kPath); }), kPath + ": not a trace of mneme");
  }
  EXPECT_NE(error_of([&] { TraceReader(disk_, "/none"); }).find("/none"), std::string::npos);
}

TEST_F(TraceFileTest, GoesOnFromTheCheckpointThatItKnows) {
  write(0, 50, 5);
  EXPECT_EQ(trace_bytes_until(disk_, kPath, kHeader, 3), std::nullopt);
  EXPECT_EQ(trace_bytes_until(disk_, "/none", kHeader, 2), std::nullopt);
  TraceHeader other = kHeader;
  ++other.run_id;
  EXPECT_EQ(trace_bytes_until(disk_, kPath, other, 2), std::nullopt);
  const auto keep = trace_bytes_until(disk_, kPath, kHeader, 2);
  ASSERT_TRUE(keep);
  written_.resize(40);
  write(*keep, 90, 2);
  EXPECT_EQ(read_all(disk_, kPath), written_);
  // What is damaged behind the checkpoint does not matter.
  std::vector<std::byte> bytes = disk_.read_file(kPath, 1 << 20);
  bytes.back() ^= std::byte{1};
  disk_.write_file(kPath, bytes);
  EXPECT_EQ(trace_bytes_until(disk_, kPath, kHeader, 2), keep);
}

TEST_F(TraceFileTest, BelongsToItsRun) {
  write(0, 60, 1);
  EXPECT_TRUE(is_trace_of(disk_, kPath, 77));
  EXPECT_FALSE(is_trace_of(disk_, kPath, 78));
  disk_.write_file(kPath, std::vector<std::byte>(10));
  EXPECT_TRUE(is_trace_of(disk_, kPath, 77)) << "a header that was not written to its end";
  disk_.write_file(kPath, std::vector<std::byte>(100));
  EXPECT_FALSE(is_trace_of(disk_, kPath, 77));
}

}  // namespace
}  // namespace mneme::offload::testing
