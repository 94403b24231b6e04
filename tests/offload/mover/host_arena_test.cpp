// Records in pinned memory: where they lie, in how many pieces, and what a refusal says.
#include "offload/mover/host_arena.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "io/error.h"
#include "kernels/machine_memory.h"
#include "tests/support/test_backend.h"

namespace mneme::offload {
namespace {

using kernels::HostRecords;

constexpr std::size_t kMiB = std::size_t{1} << 20;

class HostArenaTest : public ::testing::TestWithParam<testing::TestBackend> {
 protected:
  std::string refusal(std::uint32_t slots, std::size_t stride, std::size_t piece_bytes) {
    try {
      const HostArena arena(backend_, slots, stride, piece_bytes);
    } catch (const io::Error& error) {
      const std::string text = error.what();
      EXPECT_EQ(text.find('\n'), std::string::npos) << "one line";
      return text;
    }
    ADD_FAILURE() << "no error";
    return {};
  }

  kernels::Backend& backend_ = testing::shared_backend(GetParam());
};

// How much more memory the process can map, while the object lives.
class MapLimit {
 public:
  explicit MapLimit(std::size_t more_bytes) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    ::getrlimit(RLIMIT_AS, &before_);
    const rlimit lowered = {pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + more_bytes,
                            before_.rlim_max};
    ::setrlimit(RLIMIT_AS, &lowered);
  }
  MapLimit(const MapLimit&) = delete;
  MapLimit& operator=(const MapLimit&) = delete;
  ~MapLimit() { ::setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_ = {};
};

TEST_P(HostArenaTest, EveryRecordHasMemoryOfItsOwnThatIsZero) {
  constexpr std::size_t kStride = 192;
  // A piece of 4096 bytes holds 16 records; the last of these arenas' pieces are whole, or not.
  for (const std::uint32_t slots : {1u, 15u, 16u, 17u, 64u, 100u}) {
    const HostArena arena(backend_, slots, kStride, 4096);
    EXPECT_EQ(arena.slots(), slots);
    EXPECT_EQ(arena.records().stride, kStride);
    EXPECT_EQ(arena.records().piece_shift, 4);
    EXPECT_EQ(arena.pieces().size(), (slots + 15) / 16);
    std::size_t bytes = 0;
    for (const kernels::Buffer& piece : arena.pieces()) bytes += piece.bytes();
    EXPECT_EQ(bytes, slots * kStride) << "no more than is needed";
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
      std::byte* record = arena.record(slot);
      EXPECT_EQ(record, arena.records().record(slot));
      ASSERT_EQ(std::count(record, record + kStride, std::byte{0}), std::ptrdiff_t{kStride})
          << "slot " << slot << " of " << slots << " shares memory with another";
      std::memset(record, 1, kStride);
    }
  }
}

TEST_P(HostArenaTest, TheDeviceReachesTheFirstAndTheLastRecordOfAPiece) {
  const auto stream = backend_.create_stream();
  const HostArena arena(backend_, 100, 256, 4096);
  const kernels::Buffer device = backend_.allocate(256, kernels::MemoryKind::kDevice);
  std::memset(arena.record(0), 5, 256);
  backend_.copy(*stream, device.as<void>(), arena.record(0), 256);
  for (const std::uint32_t slot : {15u, 16u, 99u}) {
    backend_.copy(*stream, arena.record(slot), device.as<void>(), 256);
  }
  stream->synchronize();
  for (const std::uint32_t slot : {15u, 16u, 99u}) {
    EXPECT_EQ(std::memcmp(arena.record(slot), arena.record(0), 256), 0);
  }
}

TEST_P(HostArenaTest, PiecesGrowWhenThereWouldBeTooMany) {
  const HostArena many(backend_, 64 * 16, 256, 4096);
  EXPECT_EQ(many.pieces().size(), std::size_t{HostRecords::kMostPieces});
  const HostArena more(backend_, 64 * 16 + 1, 256, 4096);
  EXPECT_EQ(more.records().piece_shift, 5);
  EXPECT_EQ(more.pieces().size(), 33u);
  EXPECT_EQ(more.pieces().back().bytes(), 256u);
}

TEST_P(HostArenaTest, ARecordThatIsLargerThanAPieceIsAPiece) {
  const HostArena arena(backend_, 3, 5000, 4096);
  EXPECT_EQ(arena.records().piece_shift, 0);
  EXPECT_EQ(arena.pieces().size(), 3u);
}

TEST_P(HostArenaTest, AFewRecordsAreOnePieceOfTheirSize) {
  const HostArena arena(backend_, 1000, 320);
  ASSERT_EQ(arena.pieces().size(), 1u);
  EXPECT_EQ(arena.pieces()[0].bytes(), 320000u);
  EXPECT_LE(std::size_t{320} << arena.records().piece_shift, HostArena::kPieceBytes);
  EXPECT_GT(std::size_t{640} << arena.records().piece_shift, HostArena::kPieceBytes);
}

TEST_P(HostArenaTest, NoRecordsTakeNoMemory) {
  const HostArena arena(backend_, 0, 256);
  EXPECT_EQ(arena.slots(), 0u);
  EXPECT_TRUE(arena.pieces().empty());
}

TEST_P(HostArenaTest, MoreThanTheMachineHasIsRefusedAtOnce) {
  const std::size_t available = kernels::free_memory_bytes();
  const auto slots = static_cast<std::uint32_t>(available / 4096 * 2);
  const std::string text = refusal(slots, 4096, HostArena::kPieceBytes);
  for (const std::string& part : {std::to_string(std::size_t{slots} * 4096),
                                  std::string("available"), std::string("tiers.host_bytes")}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
}

TEST_P(HostArenaTest, APieceThatIsRefusedIsAnErrorThatSaysWhatWasGranted) {
  constexpr std::size_t kPiece = 64 * kMiB;
  std::string text;
  {
    // Half a piece either way is more than the process's other threads map or give back meanwhile.
    const MapLimit limit(2 * kPiece + kPiece / 2);
    text = refusal(4 * kPiece / 4096, 4096, kPiece);
  }
  for (const char* part :
       {"needs 268435456 bytes", "granted 134217728 (0.12 GiB) in 2 pieces, then",
        "lower tiers.host_bytes to 134217728 or less"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
  }
  const HostArena arena(backend_, 4 * kPiece / 4096, 4096, kPiece);
  EXPECT_EQ(arena.pieces().size(), 4u) << "what was granted was given back";
}

INSTANTIATE_TEST_SUITE_P(HostArenas, HostArenaTest,
                         ::testing::ValuesIn(testing::backends_under_test()),
                         testing::backend_name);

}  // namespace
}  // namespace mneme::offload
