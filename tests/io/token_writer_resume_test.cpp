// A kill, a crash or a full disk at any moment costs a writer of tokens nothing but what it had not
// synced.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <optional>
#include <vector>

#include "io/disk.h"
#include "io/token_file.h"
#include "io/token_writer.h"
#include "tests/io/temporary_directory.h"
#include "tests/io/token_writers.h"
#include "tests/support/error_of.h"

namespace mneme::test {
namespace {

using io::TokenLayout;
using io::TokenWriterState;
using testing::error_of;

class ResumedTokenWriters : public TokenWriters {};

TEST_P(ResumedTokenWriters, go_on_after_a_kill_at_every_step) {
  const std::size_t count = steps().size();
  for (std::size_t synced = 0; synced <= count; ++synced) {
    for (std::size_t killed = synced; killed <= count; ++killed) {
      const auto disk = make_disk();
      Mark mark;
      {
        const auto writer = io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
        for (std::size_t i = 0; i < killed; ++i) {
          if (i == synced) {
            writer->sync();
            mark = {writer->state(), i, 0};
          }
          take(*writer, steps()[i]);
        }
        if (killed == synced) {
          writer->sync();
          mark = {writer->state(), synced, 0};
        }
      }
      SCOPED_TRACE(::testing::Message()
                   << "synced behind " << synced << ", killed behind " << killed);
      go_on(*disk, mark);
      expect_whole(*disk);
    }
  }
}

// Every boundary between operations of the disk is a crash of the machine, with all that may be
// left behind; finish() is a part of it, and what comes behind it.
TEST_P(ResumedTokenWriters, go_on_after_a_crash_at_every_moment) {
  using Kind = io::CrashPolicy::Kind;
  const auto disk = make_disk();
  std::vector<Mark> marks;
  {
    const auto writer = io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
    const std::vector<Step> all = steps();
    for (std::size_t i = 0; i < all.size(); ++i) {
      take(*writer, all[i]);
      if (i % 3 != 2) continue;
      writer->sync();
      marks.push_back({writer->state(), i + 1, disk->operation_count()});
    }
    writer->finish();
  }
  expect_whole(*disk);
  constexpr Kind kPolicies[] = {Kind::kDropUnsynced, Kind::kKeepUnsynced, Kind::kRandomSubset,
                                Kind::kTear, Kind::kGarbage};
  for (std::uint64_t i = 0; i < 5 * std::size(kPolicies); ++i) {
    const io::CrashPolicy policy{kPolicies[i % std::size(kPolicies)], i};
    for (std::size_t boundary = 0; boundary <= disk->operation_count(); ++boundary) {
      std::optional<Mark> last;
      for (const Mark& mark : marks) {
        if (mark.operations <= boundary) last = mark;
      }
      const auto after = disk->crash_state(boundary, policy);
      if (!after->is_directory("d")) continue;
      SCOPED_TRACE(::testing::Message()
                   << "policy " << static_cast<int>(policy.kind) << ", boundary " << boundary
                   << " of " << disk->operation_count());
      // Once finish() has returned, the file is there for good.
      const bool is_there = after->exists("d/tokens.bin");
      if (is_there || boundary == disk->operation_count()) {
        for (const auto& [name, bytes] : expected_content(kind(), documents())) {
          ASSERT_EQ(after->read_file("d/" + name, kMostBytes), bytes) << "a name of no whole file";
        }
      }
      ASSERT_EQ(error_of([&] { go_on(*after, last); }), "");
      expect_whole(*after);
      if (HasFailure()) return;
    }
  }
}

TEST_P(ResumedTokenWriters, say_that_the_disk_is_full_and_go_on_when_it_is_not) {
  std::uint64_t most = 0;
  for (const auto& [name, bytes] : expected_content(kind(), documents())) most += bytes.size();
  std::size_t full = 0;
  for (std::uint64_t capacity = 0; capacity < most; capacity += 7) {
    const auto disk = make_disk();
    io::SimulatedFaults faults;
    faults.capacity_bytes = capacity;
    disk->set_faults(faults);
    std::optional<Mark> mark;
    const std::string error = error_of([&] {
      const auto writer = io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
      const std::vector<Step> all = steps();
      for (std::size_t i = 0; i < all.size(); ++i) {
        take(*writer, all[i]);
        writer->sync();
        mark = {writer->state(), i + 1, 0};
      }
      writer->finish();
    });
    EXPECT_NE(error.find("d/tokens"), std::string::npos) << error;
    ++full;
    disk->set_faults({});
    SCOPED_TRACE(::testing::Message() << capacity << " bytes");
    go_on(*disk, mark);
    expect_whole(*disk);
  }
  EXPECT_GT(full, 2u);
}

TEST_P(ResumedTokenWriters, refuse_to_go_on_after_a_write_that_failed) {
  const auto disk = make_disk();
  const auto writer = io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
  writer->append(std::vector<std::int32_t>{1, 2, 3});
  io::SimulatedFaults faults;
  faults.capacity_bytes = 1;
  disk->set_faults(faults);
  EXPECT_NE(error_of([&] { writer->sync(); }), "");
  disk->set_faults({});
  EXPECT_NE(error_of([&] { writer->sync(); }).find("an earlier write failed"), std::string::npos);
  EXPECT_NE(error_of([&] { writer->finish(); }), "");
}

TEST_P(ResumedTokenWriters, go_on_from_nothing_that_is_less_than_the_state) {
  const auto disk = make_disk();
  TokenWriterState state;
  {
    const auto writer = io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin"));
    for (const Step& step : steps()) take(*writer, step);
    writer->sync();
    state = writer->state();
  }
  const auto resume = [&](const TokenWriterState& from) {
    return error_of(
        [&] { io::make_token_writer(*disk, options_of(kind(), "d/tokens.bin", from)); });
  };
  TokenWriterState more = state;
  ++more.tokens;
  EXPECT_NE(resume(more).find("d/tokens.bin.partial"), std::string::npos);
  EXPECT_NE(resume({2, 0, 3}), "");
  if (kind().layout == TokenLayout::kMegatron) {
    more = state;
    ++more.documents;
    EXPECT_NE(resume(more).find("d/tokens.bin.lengths.partial"), std::string::npos);
    disk->remove("d/tokens.bin.lengths.partial");
    EXPECT_NE(resume(state).find("d/tokens.bin.lengths.partial"), std::string::npos);
  }
  disk->remove("d/tokens.bin.partial");
  EXPECT_NE(resume(state).find("d/tokens.bin.partial: is gone"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(AllLayouts, ResumedTokenWriters, ::testing::ValuesIn(kTokenKinds),
                         KindName());

// A limit on the size of files stands for a full disk.
TEST(ResumedTokenWriter, says_on_a_real_disk_that_it_is_full) {
  TemporaryDirectory directory;
  const std::string path = directory.file("tokens.bin");
  const auto disk = io::make_posix_disk();
  const TokenKind kind{TokenLayout::kLlmC, 4};
  auto writer = io::make_token_writer(*disk, options_of(kind, path));
  const std::vector<std::int32_t> ids(1000, 70'000);
  writer->append(ids);
  writer->sync();
  const TokenWriterState state = writer->state();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit = before;
  limit.rlim_cur = 6000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const std::string error = error_of([&] {
    writer->append(ids);
    writer->sync();
  });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(error.find(path + ".partial: cannot write"), 0u) << error;
  writer.reset();
  writer = io::make_token_writer(*disk, options_of(kind, path, state));
  writer->append(ids);
  writer->finish();
  const io::TokenFile tokens(path, kind.layout);
  std::vector<std::int32_t> found(tokens.token_count());
  tokens.read(0, found);
  EXPECT_EQ(found, std::vector<std::int32_t>(2000, 70'000));
}

}  // namespace
}  // namespace mneme::test
