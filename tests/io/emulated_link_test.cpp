// An emulated link is a queue with a clock; a disk at one.
#include "io/emulated_link.h"

#include <gtest/gtest.h>

#include "io/aligned_buffer.h"
#include "io/error.h"
#include "io/paced_disk.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::io {
namespace {

using Clock = EmulatedLink::Clock;
using std::chrono::milliseconds;

TEST(EmulatedLink, ATransferTakesItsBytesOverTheSpeed) {
  EmulatedLink link(1e6);
  const Clock::time_point now(milliseconds(500));
  EXPECT_EQ(link.transfer(now, 2000), now + milliseconds(2));
}

TEST(EmulatedLink, TransfersWaitForThoseBefore) {
  EmulatedLink link(1e6);
  const Clock::time_point now(milliseconds(500));
  link.transfer(now, 2000);
  EXPECT_EQ(link.transfer(now, 3000), now + milliseconds(5));
  EXPECT_EQ(link.transfer(now + milliseconds(1), 1000), now + milliseconds(6));
  EXPECT_EQ(link.transfer(now + milliseconds(10), 1000), now + milliseconds(11)) << "free again";
}

TEST(EmulatedLink, WithoutASpeedEverythingIsThroughAtOnce) {
  EmulatedLink link(0);
  const Clock::time_point now(milliseconds(500));
  EXPECT_FALSE(link.is_emulated());
  EXPECT_EQ(link.transfer(now, 1 << 30), now);
  EXPECT_EQ(link.transfer(now, 1 << 30), now);
}

// A file that takes no more transfers after the first ones.
class BrokenFile final : public ForwardingFile {
 public:
  explicit BrokenFile(std::unique_ptr<BlockFile> inner) : ForwardingFile(std::move(inner)) {}
  std::size_t poll(std::span<BlockCompletion> completions, bool wait) override {
    if (is_broken) fail("the ring is gone");
    return inner_->poll(completions, wait);
  }
  std::uint32_t in_flight() const override { return is_broken ? 0 : inner_->in_flight(); }
  bool is_broken = false;
};

class BrokenDisk final : public ForwardingDisk {
 public:
  using ForwardingDisk::ForwardingDisk;
  std::unique_ptr<BlockFile> open(const std::string& path, const OpenOptions& options) override {
    auto opened = std::make_unique<BrokenFile>(inner_.open(path, options));
    file = opened.get();
    return opened;
  }
  BrokenFile* file = nullptr;
};

TEST(PacedDisk, OfAFileThatTakesNoMoreTransfersNothingIsInFlight) {
  SimulatedDisk simulated({.record_log = false});
  BrokenDisk broken(simulated);
  EmulatedLink link(1);  // nothing is ever through
  PacedDisk disk(broken, link);
  const auto file = disk.open("/blocks", {.create = true});
  AlignedBuffer memory(2 * file->alignment(), file->alignment());
  // Tags may be equal.
  for (const std::uint64_t offset : {0u, file->alignment()}) {
    ASSERT_TRUE(file->submit(
        {BlockOperation::kWrite, offset, memory.data() + offset, file->alignment(), 7}));
  }
  BlockCompletion completions[4];
  EXPECT_EQ(file->poll(completions, false), 0u);
  EXPECT_EQ(file->in_flight(), 2u);
  broken.file->is_broken = true;
  EXPECT_THROW(file->poll(completions, true), Error);
  EXPECT_EQ(file->in_flight(), 0u);
}

}  // namespace
}  // namespace mneme::io
